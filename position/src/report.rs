//! One line of gpsd: what of it is of interest here. A line that cannot be understood is of no interest;
//! gpsd has many kinds of report, and newer versions have more.

use crate::fix::{Fix, FixMode};
use gpsd_proto::{Mode, Tpv, UnifiedResponse};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Report {
    /// gpsd's first line.
    Version { release: String, major: u8 },
    /// Where the unit is.
    Fix(Fix),
    /// A receiver is there, but does not know where it is.
    NoFix,
    /// Something else.
    Other,
}

/// Reads a line, without its end.
pub(crate) fn read(line: &[u8]) -> Report {
    match serde_json::from_slice(line) {
        Ok(UnifiedResponse::Version(version)) => {
            Report::Version { release: version.release, major: version.proto_major }
        }
        Ok(UnifiedResponse::Tpv(report)) => fix(report).map_or(Report::NoFix, Report::Fix),
        _ => Report::Other,
    }
}

fn fix(report: Tpv) -> Option<Fix> {
    let mode = match report.mode {
        Mode::NoFix => return None,
        Mode::Fix2d => FixMode::TwoD,
        Mode::Fix3d => FixMode::ThreeD,
    };
    let latitude = report.lat.filter(|degrees| degrees.abs() <= 90.0)?;
    let longitude = report.lon.filter(|degrees| degrees.abs() <= 180.0)?;
    let of_height = |metres: Option<f32>| metres.filter(|_| mode == FixMode::ThreeD).and_then(millimetres);
    // Before release 3.20 there was only 'alt', above sea level.
    let altitude_msl = of_height(report.alt_msl.or(report.alt));
    let altitude = of_height(report.alt_hae).or_else(|| Some(altitude_msl? + of_height(report.geoid_sep)?));
    Some(Fix {
        mode,
        latitude,
        longitude,
        altitude,
        altitude_msl,
        horizontal_error: report.eph.and_then(millimetres),
        speed: report.speed.and_then(millimetres),
        time_ms: report.time.as_deref().and_then(milliseconds),
        device: report.device,
    })
}

/// Without the digits that an f32 does not have.
fn millimetres(metres: f32) -> Option<f64> {
    metres.is_finite().then(|| (f64::from(metres) * 1000.0).round() / 1000.0)
}

fn milliseconds(time: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = r#"{"class":"TPV","device":"/dev/ttyACM0","mode":3,"time":"2026-11-26T12:00:01.500Z",
        "ept":0.005,"lat":-33.856784,"lon":151.215297,"altHAE":43.2,"altMSL":20.9,"geoidSep":22.3,"eph":7.1,
        "speed":0.514,"track":84.4,"climb":0.0}"#;

    fn fix_of(line: &str) -> Fix {
        match read(line.as_bytes()) {
            Report::Fix(fix) => fix,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_fix_has_all_of_its_parts() {
        let expected = Fix {
            mode: FixMode::ThreeD,
            latitude: -33.856784,
            longitude: 151.215297,
            altitude: Some(43.2),
            altitude_msl: Some(20.9),
            horizontal_error: Some(7.1),
            speed: Some(0.514),
            time_ms: Some(1_795_694_401_500),
            device: Some("/dev/ttyACM0".into()),
        };
        assert_eq!(fix_of(LINE), expected);
    }

    #[test]
    fn a_height_is_above_the_ellipsoid_or_not_known() {
        // The height above sea level and the geoid's make one above the ellipsoid.
        let fix = fix_of(r#"{"class":"TPV","mode":3,"lat":1,"lon":2,"altMSL":10.5,"geoidSep":-3.25}"#);
        assert_eq!((fix.altitude, fix.altitude_msl), (Some(7.25), Some(10.5)));
        let fix = fix_of(r#"{"class":"TPV","mode":3,"lat":1,"lon":2,"alt":10.5}"#);
        assert_eq!((fix.altitude, fix.altitude_msl), (None, Some(10.5)));
        let fix = fix_of(r#"{"class":"TPV","mode":2,"lat":1,"lon":2,"altHAE":10.5}"#);
        assert_eq!((fix.mode, fix.altitude), (FixMode::TwoD, None));
    }

    #[test]
    fn what_is_no_position_is_no_fix() {
        for line in [
            r#"{"class":"TPV","mode":1}"#,
            r#"{"class":"TPV","mode":0,"lat":1,"lon":2}"#,
            r#"{"class":"TPV","mode":3,"lat":1}"#,
            r#"{"class":"TPV","mode":3,"lat":90.1,"lon":2}"#,
            r#"{"class":"TPV","mode":3,"lat":1,"lon":-1e300}"#,
        ] {
            assert_eq!(read(line.as_bytes()), Report::NoFix, "{line}");
        }
    }

    #[test]
    fn other_reports_are_of_no_interest() {
        let device =
            r#"{"class":"DEVICE","path":"/dev/ttyUSB0","activated":"2026-11-26T12:00:00Z","bps":115200}"#;
        for line in ["", "GPSD", "{}", "[]", r#"{"class":"NEW"}"#, r#"{"class":"TPV"}"#, device] {
            assert_eq!(read(line.as_bytes()), Report::Other, "{line}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_fix(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(read(&line), Report::Other);
        }

        #[test]
        fn a_damaged_line_never_panics_nor_leaves_the_globe(
            at in 0..LINE.len(),
            put in proptest::collection::vec(any::<u8>(), 0..4),
            take in 0..20usize,
        ) {
            let mut line = LINE.as_bytes().to_vec();
            line.splice(at..(at + take).min(LINE.len()), put);
            if let Report::Fix(fix) = read(&line) {
                prop_assert!(fix.latitude.abs() <= 90.0 && fix.longitude.abs() <= 180.0);
            }
        }

        #[test]
        fn any_numbers_give_a_finite_fix_or_none(
            mode in any::<u8>(), lat in any::<f64>(), lon in any::<f64>(), height in any::<f64>(), time in ".{0,30}",
        ) {
            let line = serde_json::json!({
                "class": "TPV", "mode": mode, "lat": lat, "lon": lon, "altHAE": height, "eph": height, "time": time,
            });
            if let Report::Fix(fix) = read(line.to_string().as_bytes()) {
                let numbers = [Some(fix.latitude), Some(fix.longitude), fix.altitude, fix.horizontal_error];
                prop_assert!(numbers.into_iter().flatten().all(f64::is_finite));
            }
        }
    }
}
