//! Sizes and durations as people write and read them.

use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Reads `65536`, `64KiB`, `64MiB` or `1GiB`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || "write bytes, or a number with KiB, MiB or GiB, such as 64MiB".to_owned();
    let (number, unit) = split_unit(text).ok_or_else(wrong)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => KIB,
        "MiB" => MIB,
        "GiB" => GIB,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| "that is more than 16 EiB".to_owned())
}

/// Reads `10s`, `500ms`, `2m`, `1h`, or seconds without a unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number with ms, s, m or h, such as 10s".to_owned();
    let (number, unit) = split_unit(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let product = number.checked_mul(seconds);
    product
        .map(Duration::from_secs)
        .ok_or_else(|| "that is too long".to_owned())
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

/// A size with three digits or so.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..KIB => return format!("{bytes} B"),
        KIB..MIB => (KIB, "KiB"),
        MIB..GIB => (MIB, "MiB"),
        GIB.. => (GIB, "GiB"),
    };
    format!("{:.1} {name}", bytes as f64 / unit as f64)
}

/// A number of microseconds in the unit that suits it.
pub(crate) fn micros_text(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_in_binary_units() {
        let read = |text: &str| parse_bytes(text).ok();
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("64MiB"), Some(64 << 20));
        assert_eq!(read("1 GiB"), Some(1 << 30));
        for text in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "64MB",
            "99999999999999999999",
            "17179869184GiB",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(
            [0, 1023, 1024, 1_500_000, 5 << 30].map(bytes_text),
            ["0 B", "1023 B", "1.0 KiB", "1.4 MiB", "5.0 GiB"]
        );
    }

    #[test]
    fn durations_are_read_and_shown_with_their_unit() {
        let read = |text: &str| parse_duration(text).ok();
        assert_eq!(read("10"), Some(Duration::from_secs(10)));
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("2m"), Some(Duration::from_secs(120)));
        for text in ["", "s", "10 parsecs", "18446744073709551615h"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(
            [999, 1_000, 1_234_567].map(micros_text),
            ["999 us", "1.0 ms", "1.23 s"]
        );
    }
}
