//! One pin of one chip, by either way to it. An output goes off when it is dropped, however that comes.

use crate::{Pin, PinError};
use gpiocdev::line::Value;
use rppal::gpio::{Gpio, InputPin, Level, OutputPin};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which pins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Chip {
    /// A Raspberry Pi's own, or else those of `/dev/gpiochip0`.
    #[default]
    Auto,
    /// A Raspberry Pi's own, through its registers.
    RaspberryPi,
    /// Those of a chip that the kernel has a driver for, such as `/dev/gpiochip0`.
    Kernel(PathBuf),
}

impl FromStr for Chip {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "pi" => Ok(Self::RaspberryPi),
            path if path.starts_with('/') => Ok(Self::Kernel(path.into())),
            _ => Err(format!("'{text}' is neither auto, nor pi, nor a path such as /dev/gpiochip0")),
        }
    }
}

impl TryFrom<String> for Chip {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Chip> for String {
    fn from(chip: Chip) -> Self {
        chip.to_string()
    }
}

impl fmt::Display for Chip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::RaspberryPi => formatter.write_str("pi"),
            Self::Kernel(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// The way to a chip's pins.
#[derive(Debug)]
pub(crate) enum OpenChip {
    RaspberryPi(Gpio),
    Kernel(PathBuf),
}

impl OpenChip {
    /// Finds the pins.
    pub(crate) fn open(chip: &Chip) -> Result<Self, PinError> {
        match chip {
            Chip::RaspberryPi => Gpio::new().map(Self::RaspberryPi).map_err(of_the_pi),
            Chip::Kernel(path) => Self::kernel(path),
            Chip::Auto => match Gpio::new() {
                Ok(gpio) => Ok(Self::RaspberryPi(gpio)),
                Err(rppal::gpio::Error::UnknownModel) => Self::kernel(Path::new("/dev/gpiochip0")),
                Err(error) => Err(of_the_pi(error)),
            },
        }
    }

    fn kernel(path: &Path) -> Result<Self, PinError> {
        match std::fs::File::open(path) {
            Ok(_) => Ok(Self::Kernel(path.to_path_buf())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(PinError::NoPins),
            Err(error) => Err(PinError::Permission { why: format!("{}: {error}", path.display()) }),
        }
    }

    /// Whether there is such a pin, without taking it.
    pub(crate) fn check(&self, pin: Pin) -> Result<(), PinError> {
        match self {
            Self::RaspberryPi(gpio) => {
                // Taken from this program only; nothing is written.
                gpio.get(number_of_the_pi(pin)?).map(drop).map_err(|error| self.refuses(pin, &error))
            }
            Self::Kernel(path) => gpiocdev::Chip::from_path(path)
                .and_then(|chip| chip.line_info(pin.number))
                .map(drop)
                .map_err(|error| self.refuses(pin, &error)),
        }
    }

    pub(crate) fn output(&self, pin: Pin) -> Result<Output, PinError> {
        let line = match self {
            Self::RaspberryPi(gpio) => {
                let taken = gpio.get(number_of_the_pi(pin)?).map_err(|error| self.refuses(pin, &error))?;
                OutputLine::RaspberryPi(if pin.active_low {
                    taken.into_output_high()
                } else {
                    taken.into_output_low()
                })
            }
            Self::Kernel(path) => {
                let mut request = builder(path, pin);
                request.as_output(Value::Inactive);
                OutputLine::Kernel(request.request().map_err(|error| self.refuses(pin, &error))?)
            }
        };
        Ok(Output { line, pin, failed: false })
    }

    pub(crate) fn input(&self, pin: Pin) -> Result<Input, PinError> {
        let line = match self {
            Self::RaspberryPi(gpio) => {
                let taken = gpio.get(number_of_the_pi(pin)?).map_err(|error| self.refuses(pin, &error))?;
                // An open contact is off.
                InputLine::RaspberryPi(if pin.active_low {
                    taken.into_input_pullup()
                } else {
                    taken.into_input_pulldown()
                })
            }
            Self::Kernel(path) => {
                let mut request = builder(path, pin);
                request.as_input();
                InputLine::Kernel(request.request().map_err(|error| self.refuses(pin, &error))?)
            }
        };
        Ok(Input { line, pin })
    }

    fn refuses(&self, pin: Pin, error: &dyn fmt::Display) -> PinError {
        let chip = match self {
            Self::RaspberryPi(_) => "the Raspberry Pi".to_string(),
            Self::Kernel(path) => path.display().to_string(),
        };
        PinError::Pin { pin: pin.number, chip, why: error.to_string() }
    }
}

fn builder(path: &Path, pin: Pin) -> gpiocdev::request::Builder {
    let mut request = gpiocdev::Request::builder();
    request.on_chip(path).with_consumer("anchorwatch").with_line(pin.number);
    if pin.active_low {
        request.as_active_low();
    }
    request
}

fn number_of_the_pi(pin: Pin) -> Result<u8, PinError> {
    u8::try_from(pin.number).map_err(|_| PinError::Pin {
        pin: pin.number,
        chip: "the Raspberry Pi".to_string(),
        why: "there is no such pin".to_string(),
    })
}

fn of_the_pi(error: rppal::gpio::Error) -> PinError {
    match error {
        rppal::gpio::Error::UnknownModel => PinError::NoPins,
        rppal::gpio::Error::PermissionDenied(why) => PinError::Permission { why },
        error => PinError::Permission { why: error.to_string() },
    }
}

/// A pin that is driven.
#[derive(Debug)]
pub(crate) struct Output {
    line: OutputLine,
    pin: Pin,
    failed: bool,
}

#[derive(Debug)]
enum OutputLine {
    RaspberryPi(OutputPin),
    Kernel(gpiocdev::Request),
}

impl Output {
    /// Turns it on or off. That it fails is logged once, until it works again.
    pub(crate) fn set(&mut self, on: bool) {
        let result = match &mut self.line {
            OutputLine::RaspberryPi(line) => {
                line.write(Level::from(on != self.pin.active_low));
                Ok(())
            }
            // Its polarity is the kernel's affair.
            OutputLine::Kernel(request) => request.set_lone_value(Value::from(on)),
        };
        match &result {
            Err(error) if !self.failed => log::error!("pin {}: {error}", self.pin),
            Ok(()) if self.failed => log::warn!("pin {} works again", self.pin),
            _ => {}
        }
        self.failed = result.is_err();
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// A pin that is read.
#[derive(Debug)]
pub(crate) struct Input {
    line: InputLine,
    pin: Pin,
}

#[derive(Debug)]
enum InputLine {
    RaspberryPi(InputPin),
    Kernel(gpiocdev::Request),
}

impl Input {
    /// Whether it is on; `None` if that cannot be read.
    pub(crate) fn is_on(&self) -> Option<bool> {
        match &self.line {
            InputLine::RaspberryPi(line) => Some(line.is_high() != self.pin.active_low),
            InputLine::Kernel(request) => request.lone_value().ok().map(|value| value == Value::Active),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chips_are_read_and_written_alike() {
        for (text, chip) in [
            ("auto", Chip::Auto),
            ("pi", Chip::RaspberryPi),
            ("/dev/gpiochip4", Chip::Kernel("/dev/gpiochip4".into())),
        ] {
            assert_eq!((text.parse(), chip.to_string()), (Ok(chip), text.to_string()));
        }
        assert!("gpiochip0".parse::<Chip>().is_err());
    }

    #[test]
    fn a_chip_that_is_not_there_or_is_none_is_an_error_that_says_what_to_do() {
        let folder = std::env::temp_dir();
        let missing = Chip::Kernel(folder.join("no-gpiochip"));
        let message = OpenChip::open(&missing).unwrap_err().to_string();
        assert!(message.contains("--gpio-chip"), "{message}");

        let file = folder.join(format!("anchorwatch-no-chip-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        let chip = OpenChip::open(&Chip::Kernel(file.clone())).unwrap();
        let error = chip.output("3".parse().unwrap()).unwrap_err();
        assert!(chip.check("3".parse().unwrap()).is_err());
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(error, PinError::Pin { pin: 3, .. }), "{error:?}");
    }
}
