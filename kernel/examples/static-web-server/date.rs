//! Dates as HTTP writes them (RFC 9110 §5.6.7).
//!
//! A server writes one form and must read three:
//!
//! ```text
//!   IMF-fixdate   Sun, 06 Nov 1994 08:49:37 GMT     written and read
//!   RFC 850       Sunday, 06-Nov-94 08:49:37 GMT    read: two digits of year, see below
//!   asctime       Sun Nov  6 08:49:37 1994          read
//! ```
//!
//! and the access log has a fourth of its own, `06/Nov/1994:08:49:37 +0000`. All of them are UTC, so a
//! moment is a count of seconds since 1970 ([`UnixTime`]) and the calendar is arithmetic: no tables,
//! no time zones, no leap seconds (a `:60` that a client sends is read as the second after `:59`).
//!
//! A two-digit year that appears to be more than 50 years ahead is the most recent year in the past
//! with the same digits, which is the one thing for which reading a date needs to know the present.
//!
//! Anything that is not exactly one of the three forms is `None`, and the header that carried it is
//! ignored, as the specification asks. Nothing here can panic, whatever the bytes are.

/// A moment: seconds since 1970-01-01 00:00:00 UTC, negative before it, and nanoseconds after that second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest, 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl UnixTime {
    /// The moment `seconds` after 1970 began.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }
}

const SECONDS_PER_DAY: i64 = 86_400;
/// Days in an era.
const DAYS_PER_ERA: u32 = 146_097;
/// Days from March of the year -400, with which an era begins, to 1970-01-01.
const TO_1970: i32 = 719_468 + DAYS_PER_ERA as i32;
/// The first second of the year 0.
const FIRST_SECOND: i64 = -62_167_219_200;
/// 9999-12-31 23:59:59, the last second that four digits of year can name.
const LAST_SECOND: i64 = 253_402_300_799;
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const LONG_WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment in the Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year, 0 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
    /// Day of the week, 0 is Sunday.
    pub weekday: u8,
}

impl Civil {
    /// The calendar's name for `time`, which is clamped to the years 0 to 9999.
    ///
    /// Days are counted in years that begin in March, so that the leap day is a year's last day and
    /// the lengths of the months follow one formula; eras are the calendar's cycles of 400 years.
    pub fn from_unix(time: UnixTime) -> Self {
        let seconds = time.seconds.clamp(FIRST_SECOND, LAST_SECOND);
        // Of the years 0 to 9999, and so none of what follows is negative or needs more bits.
        let days = seconds.div_euclid(SECONDS_PER_DAY) as i32;
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY) as u32;
        let since_march = days.wrapping_add(TO_1970) as u32;
        let (era, day_of_era) = (since_march / DAYS_PER_ERA, since_march % DAYS_PER_ERA);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + u32::from(month <= 2) - 400;
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (of_day / 3_600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
            // The count begins on a Wednesday.
            weekday: ((since_march + 3) % 7) as u8,
        }
    }

    /// The name of the month, three letters.
    pub fn month_name(&self) -> &'static str {
        MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or("Jan")
    }

    fn weekday_name(&self) -> &'static str {
        WEEKDAYS.get(usize::from(self.weekday)).copied().unwrap_or("Sun")
    }
}

/// Fields of a date as they are read, none of more than four digits.
#[derive(Default)]
struct Fields {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

impl Fields {
    /// Seconds since 1970, if there is such a moment.
    fn seconds(&self) -> Option<i64> {
        let Self { year, month, day, hour, minute, second } = *self;
        let is_leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length_of_month = match month {
            2 if is_leap_year => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let is_valid = (1..=12).contains(&month)
            && (1..=length_of_month).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !is_valid {
            return None;
        }
        let march_year = year + 400 - u32::from(month <= 2);
        let (era, year_of_era) = (march_year / 400, march_year % 400);
        let march_month = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * march_month + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = (era * DAYS_PER_ERA + day_of_era) as i32 - TO_1970;
        let of_day = hour * 3_600 + minute * 60 + second;
        Some(i64::from(days) * SECONDS_PER_DAY + i64::from(of_day))
    }
}

/// The 29 bytes of a date in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate([u8; 29]);

impl HttpDate {
    /// Writes `time` as an IMF-fixdate; fractions of a second are dropped.
    pub fn new(time: UnixTime) -> Self {
        let civil = Civil::from_unix(time);
        let mut text = *b"Sun, 00 Jan 0000 00:00:00 GMT";
        let mut put = |at: usize, bytes: &[u8]| {
            for (to, from) in text.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
        };
        put(0, civil.weekday_name().as_bytes());
        put(5, &two_digits(civil.day));
        put(8, civil.month_name().as_bytes());
        put(12, &two_digits((civil.year / 100) as u8));
        put(14, &two_digits((civil.year % 100) as u8));
        put(17, &two_digits(civil.hour));
        put(20, &two_digits(civil.minute));
        put(23, &two_digits(civil.second));
        Self(text)
    }

    /// The date as it goes into a header.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// `value`, which is below 100, as two decimal digits.
pub fn two_digits(value: u8) -> [u8; 2] {
    [b'0' + value / 10 % 10, b'0' + value % 10]
}

/// The present as a header field, written anew once per second at most.
pub struct DateCache {
    second: i64,
    text: HttpDate,
}

impl Default for DateCache {
    /// A cache that has seen no moment yet.
    fn default() -> Self {
        Self { second: 0, text: HttpDate(*b"Thu, 01 Jan 1970 00:00:00 GMT") }
    }
}

impl DateCache {
    /// `now` as an IMF-fixdate.
    pub fn at(&mut self, now: UnixTime) -> HttpDate {
        if now.seconds != self.second {
            self.second = now.seconds;
            self.text = HttpDate::new(now);
        }
        self.text
    }
}

/// What follows the name of the day. A `y`, `d`, `h`, `m` or `s` is a digit of a field, `e` one that may be a space, `n` the
/// name of a month, and everything else itself.
const IMF_FIXDATE: &[u8] = b", dd n yyyy hh:mm:ss GMT";
const RFC_850: &[u8] = b", dd-n-yy hh:mm:ss GMT";
const ASCTIME: &[u8] = b" n ed hh:mm:ss yyyy";

/// Reads a date in any of the three forms; `now` decides the century of a two-digit year.
pub fn parse(text: &[u8], now: UnixTime) -> Option<UnixTime> {
    let (word, rest) = word(text);
    let form = if position(&LONG_WEEKDAYS, word).is_some() {
        RFC_850
    } else {
        position(&WEEKDAYS, word)?;
        if rest.first() == Some(&b',') { IMF_FIXDATE } else { ASCTIME }
    };
    let mut fields = read(rest, form)?;
    if form == RFC_850 {
        let this_year = u32::from(Civil::from_unix(now).year);
        fields.year += this_year - this_year % 100;
        // Nobody writes two digits of a year before 100.
        if fields.year > this_year + 50 {
            fields.year = fields.year.checked_sub(100)?;
        }
    }
    fields.seconds().map(UnixTime::from_seconds)
}

/// Reads fields from a text of this form, and nothing else.
fn read(mut text: &[u8], form: &[u8]) -> Option<Fields> {
    let mut fields = Fields::default();
    for &kind in form {
        let field = match kind {
            b'y' => &mut fields.year,
            b'd' | b'e' => &mut fields.day,
            b'h' => &mut fields.hour,
            b'm' => &mut fields.minute,
            b's' => &mut fields.second,
            b'n' => {
                let (name, rest) = word(text);
                fields.month = position(&MONTHS, name)? as u32 + 1;
                text = rest;
                continue;
            }
            _ => {
                text = text.strip_prefix(&[kind])?;
                continue;
            }
        };
        let (&byte, rest) = text.split_first()?;
        if !(byte.is_ascii_digit() || (kind, byte) == (b'e', b' ')) {
            return None;
        }
        // A space counts as zero.
        *field = *field * 10 + u32::from(byte & 0x0f);
        text = rest;
    }
    text.is_empty().then_some(fields)
}

/// The letters at the beginning, and the rest.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    text.split_at_checked(length).unwrap_or((text, &[]))
}

/// Which of the names it is.
fn position(names: &[&str], word: &[u8]) -> Option<usize> {
    names.iter().position(|name| name.as_bytes() == word)
}
