//! A pin as people write it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `17`, or `17:low` where a low level means on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin {
    /// Its number on its chip; on a Raspberry Pi the BCM (GPIO) number, not the place on the header.
    pub number: u32,
    /// On is a low level.
    pub active_low: bool,
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, level) = text.split_once(':').unwrap_or((text, "high"));
        let active_low = match level {
            "high" => false,
            "low" => true,
            _ => return Err(format!("'{text}' is no pin: after the colon comes high or low")),
        };
        let number = number
            .parse()
            .map_err(|_| format!("'{text}' is no pin: a number such as 17, or 17:low where low means on"))?;
        Ok(Self { number, active_low })
    }
}

impl TryFrom<String> for Pin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.to_string()
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.number, if self.active_low { ":low" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_and_written_alike() {
        for (text, number, active_low) in [("17", 17, false), ("0:low", 0, true)] {
            let pin = Pin { number, active_low };
            assert_eq!((text.parse(), pin.to_string()), (Ok(pin), text.to_string()));
        }
        assert_eq!("4:high".parse::<Pin>().unwrap().to_string(), "4");
        for text in ["", "-1", "17:", "17:on", "GPIO17", "1:2:3"] {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
    }
}
