//! What a receiver on a walk says, second by second, in NMEA 0183.

use std::fmt::Write;
use time::OffsetDateTime;

/// Where the walk begins, in degrees.
pub const START: (f64, f64) = (47.285233, 8.565265);
/// Metres above mean sea level, and of the geoid above the ellipsoid.
pub const HEIGHT: (f64, f64) = (499.6, 48.0);

/// The sentences of a second; the walk goes north, a metre a second.
pub fn second(number: u32, now: OffsetDateTime) -> String {
    let latitude = START.0 + f64::from(number) / 111_200.0;
    let (time, date) =
        (clock(now), format!("{:02}{:02}{:02}", now.day(), u8::from(now.month()), now.year() % 100));
    let place = format!("{},N,{},E", minutes(latitude, 2), minutes(START.1, 3));
    let (height, geoid) = HEIGHT;
    let mut sentences = String::new();
    for sentence in [
        format!("GPRMC,{time},A,{place},1.944,0.00,{date},,,A"),
        format!("GPGGA,{time},{place},1,08,1.01,{height:.1},M,{geoid:.1},M,,"),
        "GPGSA,A,3,23,29,07,08,09,18,26,28,,,,,1.94,1.18,1.54".to_string(),
        "GPGSV,2,1,08,23,38,230,44,29,71,156,47,07,29,116,41,08,09,081,36".to_string(),
        "GPGSV,2,2,08,09,10,189,36,18,05,330,31,26,54,279,45,28,22,046,40".to_string(),
        format!("GPGST,{time},2.1,3.0,2.0,10.0,2.4,2.2,4.1"),
    ] {
        add(&mut sentences, &sentence);
    }
    sentences
}

/// The sentences of a second without satellites.
pub fn indoors(now: OffsetDateTime) -> String {
    let mut sentences = String::new();
    add(&mut sentences, &format!("GPRMC,{},V,,,,,,,,,,N", clock(now)));
    add(&mut sentences, &format!("GPGGA,{},,,,,0,00,99.99,,,,,,", clock(now)));
    add(&mut sentences, "GPGSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99");
    sentences
}

fn add(sentences: &mut String, sentence: &str) {
    let sum = sentence.bytes().fold(0, |sum, byte| sum ^ byte);
    let _ = write!(sentences, "${sentence}*{sum:02X}\r\n");
}

fn clock(now: OffsetDateTime) -> String {
    format!("{:02}{:02}{:02}.{:02}", now.hour(), now.minute(), now.second(), now.millisecond() / 10)
}

/// Degrees and minutes, as NMEA has them.
fn minutes(degrees: f64, digits: usize) -> String {
    format!("{:0digits$}{:08.5}", degrees.trunc(), degrees.fract() * 60.0)
}
