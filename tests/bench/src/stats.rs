//! Medians, and numbers as tables show them.

/// Several measurements of one thing.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a measurement.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one, or the mean of the two in the middle; NaN when there is none.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match (sorted.get(middle), sorted.len() % 2) {
            (Some(value), 1) => *value,
            (Some(value), _) => f64::midpoint(sorted[middle - 1], *value),
            (None, _) => f64::NAN,
        }
    }

    /// The least one.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::min)
    }

    /// The greatest one.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }

    /// Median and range, each as `show` writes it: `5.0 [4.1..6.2]`. A single measurement has no range.
    pub fn show(&self, show: impl Fn(f64) -> String) -> String {
        if let [only] = self.0[..] {
            return show(only);
        }
        format!("{} [{}..{}]", show(self.median()), show(self.min()), show(self.max()))
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// A whole number with a comma between groups of three digits; `-` for NaN.
pub fn grouped(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    if value < 0.0 && digits != "0" {
        out.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `a / b` as `2.41x`; `-` where it means nothing.
pub fn ratio(a: f64, b: f64) -> String {
    let ratio = a / b;
    if ratio.is_finite() { format!("{ratio:.2}x") } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_number_lies_between_the_middle_two() {
        let samples: Samples = [4.0, 1.0, 3.0, 100.0].into_iter().collect();
        assert_eq!((samples.median(), samples.min(), samples.max()), (3.5, 1.0, 100.0));
    }

    #[test]
    fn a_range_is_shown_where_there_is_one() {
        let show = |values: &[f64]| values.iter().copied().collect::<Samples>().show(grouped);
        assert_eq!(show(&[1.0, 3.0, 2.0]), "2 [1..3]");
        assert_eq!(show(&[7.0]), "7");
    }

    #[test]
    fn no_measurement_has_no_median() {
        assert!(Samples::default().median().is_nan());
        assert_eq!(grouped(Samples::default().median()), "-");
    }

    #[test]
    fn digits_are_grouped_by_three() {
        let shown: Vec<_> = [0.0, 999.6, 100_000.0, 1_318_543_975.0, -1234.0].map(grouped).into();
        assert_eq!(shown, ["0", "1,000", "100,000", "1,318,543,975", "-1,234"]);
    }
}
