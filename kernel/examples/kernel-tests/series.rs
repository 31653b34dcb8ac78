//! Computations in floating point whose every bit is known beforehand.
//!
//! Addition, subtraction, multiplication, division, comparison and conversion are exact functions of their operands in IEEE
//! 754 (round to nearest, ties to even), in hardware as in software. So a series of them has one result on every
//! machine, to the last bit, and a single wrong rounding, or a register that somebody else changed in between, shows at
//! its end. [`EXPECTED`] was computed by a host's floating-point unit; `boot-tests` has a test that computes it again.
//!
//! The logistic map and its like double an error of the last bit with each step. `pause` is called in the middle of each
//! step, while values are live.

/// A computation that calls what it is given in the middle of each step, and gives the bits of its result.
pub type Series = fn(&mut dyn FnMut()) -> u64;

/// The series, by number.
pub const SERIES: [Series; 6] = [logistic, logistic_single, harmonic, square_roots, conversions, extremes];

/// What each of [`SERIES`] gives.
pub const EXPECTED: [u64; 6] = [
    0x3FE9_9143_9C79_544D,
    0x0098_81ED_DD3B_5F13,
    0x0D23_CDD3_51EC_8840,
    0x8AAE_1108_A831_F8BA,
    0x6528_2654_9C6B_147C,
    0x76E7_A179_1521_3875,
];

const STEPS: u32 = 400;

/// Chaos: x -> r x (1 - x).
fn logistic(pause: &mut dyn FnMut()) -> u64 {
    let (mut x, r) = (0.4_f64, 3.99);
    for _ in 0..STEPS {
        let rest = 1.0 - x;
        pause();
        x = r * x * rest;
    }
    x.to_bits()
}

/// The same with single precision, and with results of both mixed.
fn logistic_single(pause: &mut dyn FnMut()) -> u64 {
    let (mut x, mut y, r) = (0.4_f32, 0.3_f64, 3.9_f32);
    for _ in 0..STEPS {
        let rest = 1.0 - x;
        pause();
        x = r * x * rest;
        y = f64::from(r) * y * (1.0 - y);
        if (y as f32) < x {
            y = (y + f64::from(x)) / 2.0;
        }
    }
    u64::from(x.to_bits()) << 32 ^ y.to_bits()
}

/// Sums of reciprocals, forwards and backwards, whose difference is nothing but rounding.
fn harmonic(pause: &mut dyn FnMut()) -> u64 {
    let (mut forwards, mut backwards, mut single) = (0.0_f64, 0.0_f64, 0.0_f32);
    for step in 1..=STEPS {
        let term = 1.0 / f64::from(step);
        pause();
        forwards += term;
        backwards += 1.0 / f64::from(STEPS + 1 - step);
        single += 1.0 / step as f32;
    }
    (forwards - backwards).to_bits() ^ forwards.to_bits().rotate_left(7) ^ u64::from(single.to_bits())
}

/// Newton's method.
fn square_roots(pause: &mut dyn FnMut()) -> u64 {
    let mut bits = 0;
    for number in 1..=STEPS / 8 {
        let square = f64::from(number) * 1.25e3;
        let mut root = square;
        for _ in 0..20 {
            let quotient = square / root;
            pause();
            root = (root + quotient) / 2.0;
        }
        bits = u64::rotate_left(bits, 5) ^ root.to_bits() ^ u64::from((root as f32).to_bits());
    }
    bits
}

/// Integers to floating point and back, with values that do not fit.
fn conversions(pause: &mut dyn FnMut()) -> u64 {
    let (mut state, mut bits) = (1_u64, 0_u64);
    for step in 0..STEPS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let narrow = state >> (step % 64);
        let (signed, wide) = (narrow as i64 as f64, u128::from(narrow) << (step % 60));
        pause();
        let values = [signed, narrow as f64, f64::from(narrow as f32), wide as f64, -signed / 3.0];
        for value in values {
            let back = (value as i64 as u64) ^ (value as u64) ^ u64::from(value as u8) ^ (value as i32 as u32 as u64);
            bits = bits.rotate_left(3) ^ value.to_bits() ^ back;
        }
    }
    bits
}

/// Numbers too small to be normal, infinities, zeros with a sign, and what compares with nothing.
fn extremes(pause: &mut dyn FnMut()) -> u64 {
    let (mut small, mut large, mut bits) = (1.0_f64, 1.0_f64, 0_u64);
    for step in 0..STEPS {
        small /= 7.0;
        pause();
        large *= 9.0;
        let product = small * large;
        // Not a number once `large` is infinite.
        let undefined = large - large * 1.0;
        let facts = [
            undefined.is_nan(),
            undefined < small,
            small < large,
            -small == small,
            large.is_infinite(),
            small.is_subnormal(),
            (-small).is_sign_negative(),
            product > 1.0,
        ];
        bits = facts.into_iter().fold(bits.rotate_left(9), |bits, fact| bits << 1 ^ bits >> 63 ^ u64::from(fact));
        bits ^= small.to_bits() ^ large.to_bits().rotate_left(step % 64);
        if product.is_finite() {
            bits ^= product.to_bits();
        }
        if step % 370 == 369 {
            (small, large) = (1.5e-300, 2.5e300);
        }
    }
    bits
}
