//! A fix: where the unit was, and how well that is known.

use anchorwatch_store::Position;

/// Whether the height is known too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixMode {
    /// Latitude and longitude.
    TwoD,
    /// Latitude, longitude and height.
    ThreeD,
}

/// Where the unit was (WGS 84).
#[derive(Clone, Debug, PartialEq)]
pub struct Fix {
    /// Whether the height is known too.
    pub mode: FixMode,
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// Metres above the ellipsoid.
    pub altitude: Option<f64>,
    /// Metres above mean sea level.
    pub altitude_msl: Option<f64>,
    /// The horizontal error in metres that 95 % of fixes stay below, as gpsd estimates it.
    pub horizontal_error: Option<f64>,
    /// Metres a second over ground.
    pub speed: Option<f64>,
    /// The receiver's time, in milliseconds since 1970, UTC. Old receivers may be 1024 weeks off.
    pub time_ms: Option<i64>,
    /// The receiver, as gpsd names it.
    pub device: Option<String>,
}

impl From<&Fix> for Position {
    fn from(fix: &Fix) -> Self {
        Self { latitude: fix.latitude, longitude: fix.longitude, altitude: fix.altitude }
    }
}
