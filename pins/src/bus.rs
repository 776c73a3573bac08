//! I²C and SPI, one way: bytes are sent, nothing is asked. What sits at the other end takes them as they
//! come; frames that resynchronise by themselves (as the link's do) are right for that.

use crate::PinError;
use rppal::i2c::I2c;
use rppal::spi::{Mode, SlaveSelect, Spi};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Bits a second on SPI: what any microcontroller can take, over a wire of a metre.
const SPI_CLOCK: u32 = 1_000_000;

/// Which bus, and whom on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BusAddress {
    /// `i2c:BUS:ADDRESS`, such as `i2c:1:0x42`.
    I2c {
        /// The number N of `/dev/i2c-N`.
        bus: u8,
        /// 7 bits.
        address: u8,
    },
    /// `spi:BUS.SELECT`, such as `spi:0.0`.
    Spi {
        /// The first number of `/dev/spidev0.1`.
        bus: u8,
        /// The second: which chip select.
        select: u8,
    },
}

impl BusAddress {
    /// The kernel's file for it.
    pub fn device(self) -> String {
        match self {
            Self::I2c { bus, .. } => format!("/dev/i2c-{bus}"),
            Self::Spi { bus, select } => format!("/dev/spidev{bus}.{select}"),
        }
    }
}

impl FromStr for BusAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is neither i2c:BUS:ADDRESS (i2c:1:0x42) nor spi:BUS.SELECT (spi:0.0)");
        match text.split_once(':').ok_or_else(wrong)? {
            ("i2c", rest) => {
                let (bus, address) = rest.split_once(':').ok_or_else(wrong)?;
                let parsed = match address.strip_prefix("0x") {
                    Some(digits) => u8::from_str_radix(digits, 16),
                    None => address.parse(),
                };
                let address = parsed.map_err(|_| wrong())?;
                if !(0x08..0x78).contains(&address) {
                    return Err(format!("'{text}': addresses on I²C go from 0x08 to 0x77"));
                }
                Ok(Self::I2c { bus: bus.parse().map_err(|_| wrong())?, address })
            }
            ("spi", rest) => {
                let (bus, select) = rest.split_once('.').ok_or_else(wrong)?;
                let (bus, select) = (bus.parse().map_err(|_| wrong())?, select.parse().map_err(|_| wrong())?);
                if bus > 6 || select > 15 {
                    return Err(format!("'{text}': a Raspberry Pi has buses 0 to 6, with selects 0 to 15"));
                }
                Ok(Self::Spi { bus, select })
            }
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for BusAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<BusAddress> for String {
    fn from(address: BusAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for BusAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I2c { bus, address } => write!(formatter, "i2c:{bus}:{address:#04x}"),
            Self::Spi { bus, select } => write!(formatter, "spi:{bus}.{select}"),
        }
    }
}

/// An open bus.
#[derive(Debug)]
pub struct Bus {
    address: BusAddress,
    line: Line,
}

#[derive(Debug)]
enum Line {
    I2c(I2c),
    Spi(Spi),
}

impl Bus {
    /// Opens a bus.
    ///
    /// # Errors
    /// If there is no such bus, or it may not be used.
    pub fn open(address: BusAddress) -> Result<Self, PinError> {
        let line = match address {
            BusAddress::I2c { bus, address: peer } => I2c::with_bus(bus)
                .and_then(|mut line| line.set_slave_address(u16::from(peer)).map(|()| line))
                .map(Line::I2c)
                .map_err(|error| {
                    fails(address, &error, "is I²C switched on (on a Raspberry Pi: 'sudo raspi-config nonint do_i2c 0'), and the user in the group i2c?")
                })?,
            BusAddress::Spi { bus, select } => {
                Spi::new(spi_bus(bus), spi_select(select), SPI_CLOCK, Mode::Mode0).map(Line::Spi).map_err(
                    |error| {
                        fails(address, &error, "is SPI switched on (on a Raspberry Pi: 'sudo raspi-config nonint do_spi 0'), and the user in the group spi?")
                    },
                )?
            }
        };
        Ok(Self { address, line })
    }

    /// Sends bytes, all of them in one transfer.
    ///
    /// # Errors
    /// If nobody takes them.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), PinError> {
        let sent = match &mut self.line {
            Line::I2c(line) => line.write(bytes).map_err(|error| {
                fails(self.address, &error, "is the other end there, and its address right?")
            }),
            Line::Spi(line) => line.write(bytes).map_err(|error| fails(self.address, &error, "SPI gave up")),
        }?;
        if sent < bytes.len() {
            let why = format!("only {sent} of {} bytes were taken", bytes.len());
            return Err(PinError::Bus { bus: self.address.to_string(), why });
        }
        Ok(())
    }
}

fn fails(address: BusAddress, error: &dyn fmt::Display, hint: &str) -> PinError {
    PinError::Bus { bus: address.to_string(), why: format!("{error}; {hint}") }
}

fn spi_bus(number: u8) -> rppal::spi::Bus {
    use rppal::spi::Bus;
    [Bus::Spi0, Bus::Spi1, Bus::Spi2, Bus::Spi3, Bus::Spi4, Bus::Spi5, Bus::Spi6][usize::from(number.min(6))]
}

fn spi_select(number: u8) -> SlaveSelect {
    use SlaveSelect::*;
    [Ss0, Ss1, Ss2, Ss3, Ss4, Ss5, Ss6, Ss7, Ss8, Ss9, Ss10, Ss11, Ss12, Ss13, Ss14, Ss15]
        [usize::from(number.min(15))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buses_are_read_and_written_alike() {
        for (text, address, device) in [
            ("i2c:1:0x42", BusAddress::I2c { bus: 1, address: 0x42 }, "/dev/i2c-1"),
            ("spi:0.1", BusAddress::Spi { bus: 0, select: 1 }, "/dev/spidev0.1"),
        ] {
            assert_eq!((text.parse(), address.to_string()), (Ok(address), text.to_string()));
            assert_eq!(address.device(), device);
        }
        assert_eq!("i2c:1:66".parse(), Ok(BusAddress::I2c { bus: 1, address: 66 }));
        for text in ["", "i2c", "i2c:1", "i2c:1:0x80", "i2c:1:3", "spi:0", "spi:7.0", "spi:0.16", "can:0"] {
            assert!(text.parse::<BusAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bus_that_is_not_there_is_an_error_that_says_what_to_do() {
        for (text, hint) in [("i2c:199:0x42", "group i2c"), ("spi:6.15", "group spi")] {
            let error = Bus::open(text.parse().unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(text) && error.contains(hint), "{error}");
        }
    }
}
