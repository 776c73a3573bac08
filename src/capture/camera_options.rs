//! What may be asked of a camera. It is written in configuration files, so it is here also when the
//! program is built without cameras.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What may be asked of a source. Only cameras take most of it: files are as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceOptions {
    /// Width and height to ask a camera for; it may answer with another size.
    pub camera_size: Option<(u32, u32)>,
    /// Frames a second to ask a camera for; it may answer with another rate.
    pub camera_rate: Option<f64>,
    /// The pixel format; without it, the one that costs least.
    pub camera_format: Option<CameraFormat>,
    /// Controls that are set before the first frame, in this order.
    pub camera_controls: Vec<ControlSetting>,
    /// Whether colours are of no use: then a camera's grey pictures are the cheapest.
    pub grey: bool,
    /// How long a camera or stream may take for one frame.
    pub frame_timeout: Duration,
    /// A camera or stream that is not there at the start is waited for.
    pub wait: bool,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            camera_size: None,
            camera_rate: None,
            camera_format: None,
            camera_controls: Vec::new(),
            grey: false,
            frame_timeout: Duration::from_secs(5),
            wait: false,
        }
    }
}

/// The pixel formats that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CameraFormat {
    /// One byte a pixel, no colours.
    Grey,
    /// Two bytes a pixel.
    Yuyv,
    /// One and a half bytes a pixel.
    Nv12,
    /// A JPEG picture a frame: little for the cable to carry, much to decode.
    Mjpeg,
}

impl CameraFormat {
    /// The cheapest to turn into a picture first.
    pub const ALL: [Self; 4] = [Self::Grey, Self::Yuyv, Self::Nv12, Self::Mjpeg];

    /// Linux' name for it, four letters.
    pub fn fourcc(self) -> [u8; 4] {
        match self {
            Self::Grey => *b"GREY",
            Self::Yuyv => *b"YUYV",
            Self::Nv12 => *b"NV12",
            Self::Mjpeg => *b"MJPG",
        }
    }

    /// The format with this name of Linux.
    pub fn from_fourcc(fourcc: [u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.fourcc() == fourcc)
    }
}

impl fmt::Display for CameraFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Grey => "grey",
            Self::Yuyv => "yuyv",
            Self::Nv12 => "nv12",
            Self::Mjpeg => "mjpeg",
        })
    }
}

impl FromStr for CameraFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "grey" | "gray" => Ok(Self::Grey),
            "yuyv" => Ok(Self::Yuyv),
            "nv12" => Ok(Self::Nv12),
            "mjpeg" | "mjpg" => Ok(Self::Mjpeg),
            _ => Err(format!("'{text}' is no camera format: choose grey, yuyv, nv12 or mjpeg")),
        }
    }
}

/// A control and what to set it to, written `gain=20`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ControlSetting {
    /// Small letters, digits and underscores.
    pub name: String,
    /// A number, `auto`, `on`, `off`, or the name of a menu's item.
    pub value: String,
}

impl FromStr for ControlSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let words =
            name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let name = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_");
        let value = value.trim().to_string();
        if name.is_empty() || value.is_empty() {
            return Err(format!("'{text}' is not NAME=VALUE, such as gain=20"));
        }
        Ok(Self { name, value })
    }
}

impl fmt::Display for ControlSetting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.name, self.value)
    }
}

impl TryFrom<String> for ControlSetting {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ControlSetting> for String {
    fn from(setting: ControlSetting) -> Self {
        setting.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for format in CameraFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(CameraFormat::from_fourcc(format.fourcc()), Some(format));
        }
        assert!("h264".parse::<CameraFormat>().is_err());
        let setting: ControlSetting = "White-Balance = auto".parse().unwrap();
        assert_eq!(setting.to_string(), "white_balance=auto");
        assert!("gain".parse::<ControlSetting>().is_err() && "=3".parse::<ControlSetting>().is_err());
    }
}
