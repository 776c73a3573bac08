//! Where a companion is.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A serial port; or a socket that stands for one, as emulators and serial servers have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// A serial port of this machine: `/dev/serial0` on a Raspberry Pi, `/dev/ttyACM0` for USB.
    Tty(PathBuf),
    /// `tcp:HOST:PORT`.
    Tcp(String),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("tcp", place)) => match place.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Self::Tcp(place.to_string()))
                }
                _ => Err(format!("'{text}' is not tcp:HOST:PORT")),
            },
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("unix", _)) => Err(format!("'{text}' is not unix:PATH")),
            _ if text.is_empty() => Err("a serial port is needed, such as /dev/serial0".to_string()),
            _ => Ok(Self::Tty(text.into())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tty(path) => write!(formatter, "{}", path.display()),
            Self::Tcp(place) => write!(formatter, "tcp:{place}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["/dev/serial0", "tcp:localhost:4000", "tcp:[::1]:4000", "unix:/tmp/x", "COM3"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("/dev/ttyS1".parse(), Ok(Address::Tty("/dev/ttyS1".into())));
        for text in ["", "tcp:localhost", "tcp::4000", "tcp:a:b", "tcp:a:70000", "unix:"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
