//! Where gpsd is, and how old a fix may be.

use crate::PositionError;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The port that gpsd listens at if nobody says otherwise.
const PORT: u16 = 2947;

/// Where gpsd is, and how old a fix may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GpsdSettings {
    /// HOST or HOST:PORT.
    pub address: String,
    /// Seconds for which a fix counts as the unit's position.
    pub max_age: f64,
    /// Seconds of silence after which gpsd is asked whether it is still there. Without a receiver, gpsd
    /// is silent.
    pub patience: f64,
}

impl Default for GpsdSettings {
    fn default() -> Self {
        Self { address: format!("127.0.0.1:{PORT}"), max_age: 10.0, patience: 30.0 }
    }
}

impl GpsdSettings {
    /// HOST:PORT.
    pub(crate) fn full_address(&self) -> Result<String, PositionError> {
        let wrong = || PositionError::Address(self.address.clone());
        let address = self.address.trim();
        // A port follows the last colon, but for an IPv6 address's own: [::1].
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !address.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (address, PORT),
        };
        let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if host.is_empty() || port == 0 || bare_ipv6 || host.contains(char::is_whitespace) {
            return Err(wrong());
        }
        Ok(format!("{host}:{port}"))
    }

    pub(crate) fn max_age(&self) -> Result<Duration, PositionError> {
        positive(self.max_age)
    }

    pub(crate) fn patience(&self) -> Result<Duration, PositionError> {
        positive(self.patience)
    }
}

fn positive(seconds: f64) -> Result<Duration, PositionError> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(PositionError::Age(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<String, PositionError> {
        GpsdSettings { address: text.into(), ..GpsdSettings::default() }.full_address()
    }

    #[test]
    fn a_port_may_be_left_out() {
        assert_eq!(address("boat.local").unwrap(), "boat.local:2947");
        assert_eq!(address("10.0.0.7:2000").unwrap(), "10.0.0.7:2000");
        assert_eq!(address("[::1]").unwrap(), "[::1]:2947");
        assert_eq!(address("[fe80::1]:99").unwrap(), "[fe80::1]:99");
    }

    #[test]
    fn what_is_no_address_is_said() {
        for text in ["", ":2947", "host:", "host:0", "host:70000", "host:gps", "::1", "a b"] {
            let error = address(text).unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn an_age_is_a_time() {
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            let settings = GpsdSettings { max_age: seconds, ..GpsdSettings::default() };
            assert!(settings.max_age().is_err(), "{seconds}");
        }
    }
}
