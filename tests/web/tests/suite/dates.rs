//! `date`: known moments, all forms, every day of four centuries.

use proptest::prelude::*;
use web_tests::date::{Civil, DateCache, HttpDate, UnixTime, parse};

const NOW: UnixTime = UnixTime::from_seconds(1_700_000_000);

fn text(seconds: i64) -> String {
    let date = HttpDate::new(UnixTime::from_seconds(seconds));
    String::from_utf8(date.as_bytes().to_vec()).expect("dates are ASCII")
}

fn seconds(text: &str) -> Option<i64> {
    parse(text.as_bytes(), NOW).map(|time| time.seconds)
}

#[test]
fn known_moments_are_written_as_the_calendar_says() {
    assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
    assert_eq!(text(1_704_067_199), "Sun, 31 Dec 2023 23:59:59 GMT");
    assert_eq!(text(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
    assert_eq!(text(253_402_300_799), "Fri, 31 Dec 9999 23:59:59 GMT");
}

#[test]
fn moments_before_1970_and_beyond_four_digits_are_written_too() {
    assert_eq!(text(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
    assert_eq!(text(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    assert_eq!(text(i64::MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
}

#[test]
fn all_three_forms_are_read() {
    for form in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(seconds(form), Some(784_111_777), "{form}");
    }
    assert_eq!(seconds("Wed Nov 16 08:49:37 1994"), Some(784_975_777));
}

#[test]
fn a_two_digit_year_far_ahead_is_in_the_past() {
    // Seen from 2023: 2073 is 50 years ahead, 2074 is more.
    assert_eq!(seconds("Sunday, 01-Jan-73 00:00:00 GMT"), seconds("Sun, 01 Jan 2073 00:00:00 GMT"));
    assert_eq!(seconds("Sunday, 01-Jan-74 00:00:00 GMT"), seconds("Sun, 01 Jan 1974 00:00:00 GMT"));
}

#[test]
fn what_is_no_date_is_not_read() {
    for form in [
        "",
        "Sun",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 29 Feb 2100 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "784111777",
    ] {
        assert_eq!(seconds(form), None, "{form}");
    }
}

#[test]
fn a_leap_second_is_the_second_after() {
    assert_eq!(seconds("Sat, 31 Dec 2016 23:59:60 GMT"), Some(1_483_228_800));
}

#[test]
fn every_day_of_four_centuries_comes_back_and_weekdays_advance() {
    let mut weekday = 4;
    for day in 0..146_097_i64 {
        let second = day * 86_400 + 12_345;
        assert_eq!(seconds(&text(second)), Some(second));
        assert_eq!(Civil::from_unix(UnixTime::from_seconds(second)).weekday, weekday);
        weekday = (weekday + 1) % 7;
    }
}

#[test]
fn the_cache_follows_the_clock() {
    let mut cache = DateCache::default();
    for second in [0, 784_111_777, 784_111_777, 784_111_778] {
        let now = UnixTime { seconds: second, nanoseconds: 999_999_999 };
        assert_eq!(cache.at(now), HttpDate::new(UnixTime::from_seconds(second)));
    }
}

proptest! {
    #[test]
    fn any_moment_comes_back(second in -62_167_219_200_i64..=253_402_300_799) {
        prop_assert_eq!(seconds(&text(second)), Some(second));
    }

    #[test]
    fn any_bytes_are_a_date_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse(&bytes, NOW);
    }

    #[test]
    fn a_date_with_one_byte_changed_does_not_panic(at in 0_usize..29, byte: u8) {
        let mut bytes = *b"Sun, 06 Nov 1994 08:49:37 GMT";
        bytes[at] = byte;
        let _ = parse(&bytes, NOW);
    }
}
