//! The settings of `run`, in layers: flags go before environment variables, these before the one
//! configuration file, and that before the defaults. One struct is all of them, so that every key
//! of the file is a flag and has a variable.

use super::exit::UsageError;
use crate::board::PaceRule;
use crate::capture::{CameraFormat, ControlSetting, SourceOptions};
use crate::link::{Address, Speed};
use crate::record::CropFormat;
use crate::vision::RegionRule;
use crate::watch::background::BackgroundRule;
use crate::watch::schedule::Schedule;
use anchorwatch_core::WatchConfig;
use anchorwatch_kernels::Isa;
#[cfg(feature = "mqtt")]
use anchorwatch_mqtt::{BrokerOptions, SendOptions};
#[cfg(feature = "gpio")]
use anchorwatch_pins::{BusAddress, Chip, Pin, PinSettings};
use anchorwatch_store::Retention;
use anyhow::Context;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, ValueEnum};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};
#[cfg(feature = "web")]
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// What can be set.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[command(next_help_heading = "What to look at")]
pub struct Settings {
    /// A picture, a folder, a pattern such as 'DIR/*.jpg', a video, or a camera such as /dev/video0
    ///
    /// Folders are read with all below them. Y4M and MJPEG-AVI videos are read by this program
    /// itself; other videos, and streams such as rtsp://…, need the program ffmpeg.
    #[arg(short, long, env = "ANCHORWATCH_SOURCE", hide_env_values = true)]
    pub source: Option<String>,

    /// Which parts of a frame are judged: frame (all of it), centre (the largest square), grid:3x2
    /// (columns × rows), box:x,y,width,height;… in pixels, motion (what moves; with limits:
    /// motion:min=0.5%,max=80%,most=8), or socket:PATH (boxes that another program sends there)
    #[arg(long, env = "ANCHORWATCH_REGION", value_name = "RULE", default_value_t = Settings::default().region)]
    #[serde(with = "as_text")]
    pub region: RegionRule,

    /// Regions with a side shorter than this are not judged
    #[arg(
        long, env = "ANCHORWATCH_MIN_SIZE", value_name = "PIXELS",
        default_value_t = Settings::default().min_size
    )]
    pub min_size: u32,

    /// The size to ask a camera for, such as 1280x720; it may answer with another
    #[arg(long, env = "ANCHORWATCH_CAMERA_SIZE", value_name = "WxH")]
    pub camera_size: Option<CameraSize>,

    /// Frames a second to ask a camera for; it may answer with another rate
    #[arg(long, env = "ANCHORWATCH_CAMERA_RATE", value_name = "FPS")]
    pub camera_rate: Option<f64>,

    /// The camera's pixel format: grey, yuyv, nv12 or mjpeg [default: the one that costs least]
    #[arg(long, env = "ANCHORWATCH_CAMERA_FORMAT", value_name = "FORMAT")]
    pub camera_format: Option<CameraFormat>,

    /// Set a control of the camera: exposure, gain or white-balance (a number, or auto), or any that
    /// 'anchorwatch cameras' lists. May be given several times, or with commas
    #[arg(long, env = "ANCHORWATCH_CAMERA_CONTROL", value_name = "NAME=VALUE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub camera_control: Vec<ControlSetting>,

    /// When the camera or stream is not there at the start, wait for it
    #[arg(
        long, env = "ANCHORWATCH_WAIT_FOR_CAMERA", value_name = "BOOL", num_args = 0..=1,
        default_value_t = Settings::default().wait_for_camera, default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub wait_for_camera: bool,

    /// Seconds after which a camera or stream that gives no frame counts as lost; it is then opened
    /// again, and again
    #[arg(
        long, env = "ANCHORWATCH_FRAME_TIMEOUT", value_name = "SECONDS",
        default_value_t = Settings::default().frame_timeout
    )]
    pub frame_timeout: f64,

    /// The model file; without it, the default model inside this program
    #[arg(short, long, env = "ANCHORWATCH_MODEL", value_name = "FILE", help_heading = "Known or unknown")]
    pub model: Option<PathBuf>,

    /// So many threads share the work on one picture [default: as many as there are processors]
    #[arg(long, env = "ANCHORWATCH_THREADS", value_name = "COUNT", help_heading = "Known or unknown")]
    pub threads: Option<NonZeroUsize>,

    /// Reject above this score, instead of the model's own threshold ('inspect' shows it); smaller
    /// means that more is unknown. Thresholds of single classes keep their share of it
    #[arg(
        long,
        env = "ANCHORWATCH_THRESHOLD",
        value_name = "SCORE",
        help_heading = "Known or unknown",
        allow_negative_numbers = true
    )]
    pub threshold: Option<f64>,

    /// An event starts when so many of the last so many frames of a video or camera are unknown
    #[arg(
        long, env = "ANCHORWATCH_RAISE", value_name = "K/N", help_heading = "Known or unknown",
        default_value_t = Settings::default().raise
    )]
    pub raise: KOfN,

    /// It ends when so many of the last so many are calm again
    #[arg(
        long, env = "ANCHORWATCH_CLEAR", value_name = "K/N", help_heading = "Known or unknown",
        default_value_t = Settings::default().clear
    )]
    pub clear: KOfN,

    /// A frame is calm up to this share of the threshold
    #[arg(
        long, env = "ANCHORWATCH_CLEAR_RATIO", value_name = "SHARE", help_heading = "Known or unknown",
        default_value_t = Settings::default().clear_ratio
    )]
    pub clear_ratio: f64,

    /// After an event, no other starts in the same place for so many seconds
    #[arg(
        long, env = "ANCHORWATCH_COOL_DOWN", value_name = "SECONDS", help_heading = "Known or unknown",
        default_value_t = Settings::default().cool_down
    )]
    pub cool_down: f64,

    /// Learn in the first so many seconds what is always there, and do not tell of it afterwards
    #[arg(
        long, env = "ANCHORWATCH_LEARN_BACKGROUND", value_name = "SECONDS",
        help_heading = "Known or unknown", default_value_t = Settings::default().learn_background
    )]
    pub learn_background: f64,

    /// How far from what was learnt is still background, as a share of the threshold
    #[arg(
        long, env = "ANCHORWATCH_BACKGROUND_TOLERANCE", value_name = "SHARE",
        help_heading = "Known or unknown", default_value_t = Settings::default().background_tolerance
    )]
    pub background_tolerance: f64,

    /// Watch a camera at these local times only, such as 'mon-fri 8:00-18:00; sat,sun 22:00-6:00'
    #[arg(long, env = "ANCHORWATCH_SCHEDULE", value_name = "TIMES", help_heading = "Known or unknown")]
    pub schedule: Option<Schedule>,

    /// Judge at most so many frames a second
    #[arg(long, env = "ANCHORWATCH_MAX_FPS", value_name = "FPS", help_heading = "Heat and load")]
    pub max_fps: Option<f64>,

    /// Spend at most this share of the time on judging, such as 0.5
    #[arg(long, env = "ANCHORWATCH_MAX_LOAD", value_name = "SHARE", help_heading = "Heat and load")]
    pub max_load: Option<f64>,

    /// While the processor is this hot (°C), or throttled, judge less and less; more again when it is
    /// five degrees cooler
    #[arg(long, env = "ANCHORWATCH_MAX_TEMPERATURE", value_name = "DEGREES", help_heading = "Heat and load")]
    pub max_temperature: Option<f64>,

    /// Keep what is unknown in this folder, with its pictures; 'anchorwatch log DIR' shows it
    #[arg(short, long, env = "ANCHORWATCH_EVENTS", value_name = "DIR", help_heading = "What to keep")]
    pub events: Option<PathBuf>,

    /// How the pictures of events are saved
    #[arg(
        long, env = "ANCHORWATCH_CROPS", value_name = "FORMAT", help_heading = "What to keep",
        default_value_t = Settings::default().crops, value_enum
    )]
    pub crops: Crops,

    /// What this device is called in its events [default: the host's name]
    #[arg(long, env = "ANCHORWATCH_UNIT", value_name = "NAME", help_heading = "What to keep")]
    pub unit: Option<String>,

    /// Keep at most so many MiB of events and pictures: the oldest go, starred ones last
    #[arg(long, env = "ANCHORWATCH_KEEP_SIZE", value_name = "MIB", help_heading = "What to keep")]
    pub keep_size: Option<u64>,

    /// Keep events for so many days; starred ones stay
    #[arg(long, env = "ANCHORWATCH_KEEP_DAYS", value_name = "DAYS", help_heading = "What to keep")]
    pub keep_days: Option<f64>,

    /// Leave so many MiB of the disk to others: before it gets less, the oldest events go, but no
    /// starred ones
    #[arg(
        long, env = "ANCHORWATCH_KEEP_FREE", value_name = "MIB", help_heading = "What to keep",
        default_value_t = Settings::default().keep_free
    )]
    pub keep_free: u64,

    /// Keep samples of what is judged known too, to calibrate with: of each class one in so many minutes,
    /// drawn at random; 0 keeps none. They are the first to go, and are not sent
    #[arg(
        long, env = "ANCHORWATCH_KEEP_KNOWN", value_name = "MINUTES", help_heading = "What to keep",
        default_value_t = Settings::default().keep_known
    )]
    pub keep_known: f64,

    /// Where the unit is, of gpsd at this address; events have it
    #[cfg(feature = "gpsd")]
    #[arg(
        long, env = "ANCHORWATCH_GPSD", value_name = "HOST:PORT", help_heading = "What to keep",
        num_args = 0..=1, default_missing_value = "127.0.0.1:2947"
    )]
    pub gpsd: Option<String>,

    /// Write every judged frame with boxes and labels into this folder
    #[arg(short, long, env = "ANCHORWATCH_ANNOTATE", value_name = "DIR", help_heading = "What to keep")]
    pub annotate: Option<PathBuf>,

    /// Tell verdicts and events, as JSON lines, to every program that connects to this Unix socket
    #[arg(long, env = "ANCHORWATCH_STREAM", value_name = "SOCKET", help_heading = "Whom to tell")]
    pub stream: Option<PathBuf>,

    /// Show a page at this address, such as 127.0.0.1:8080: the picture, scores, events, figures; also
    /// /metrics for Prometheus and /healthz
    #[cfg(feature = "web")]
    #[arg(long, env = "ANCHORWATCH_WEB", value_name = "ADDRESS", help_heading = "Whom to tell")]
    pub web: Option<SocketAddr>,

    /// Who knows this may see the page (http://ADDRESS/?token=TOKEN); needed at any address that the
    /// network can reach
    #[cfg(feature = "web")]
    #[arg(
        long,
        env = "ANCHORWATCH_WEB_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        help_heading = "Whom to tell"
    )]
    pub web_token: Option<String>,

    /// Send what --events keeps home to this MQTT broker: mqtt://HOST, or mqtts://HOST for TLS. What cannot
    /// be sent waits, for days if need be
    #[cfg(feature = "mqtt")]
    #[arg(long, env = "ANCHORWATCH_MQTT", value_name = "URL", help_heading = "Sending home")]
    pub mqtt: Option<String>,

    /// The broker knows this unit by this user's name
    #[cfg(feature = "mqtt")]
    #[arg(long, env = "ANCHORWATCH_MQTT_USER", value_name = "NAME", help_heading = "Sending home")]
    pub mqtt_user: Option<String>,

    /// A file whose first line is the password; only this program's user should be able to read it
    #[cfg(feature = "mqtt")]
    #[arg(long, env = "ANCHORWATCH_MQTT_PASSWORD_FILE", value_name = "FILE", help_heading = "Sending home")]
    pub mqtt_password_file: Option<PathBuf>,

    /// The authority that signed the broker's certificate (PEM) [default: those that the system trusts]
    #[cfg(feature = "mqtt")]
    #[arg(long, env = "ANCHORWATCH_MQTT_CA", value_name = "FILE", help_heading = "Sending home")]
    pub mqtt_ca: Option<PathBuf>,

    /// This unit's own certificate (PEM), with --mqtt-key
    #[cfg(feature = "mqtt")]
    #[arg(long, env = "ANCHORWATCH_MQTT_CERTIFICATE", value_name = "FILE", help_heading = "Sending home")]
    pub mqtt_certificate: Option<PathBuf>,

    /// The key of this unit's certificate (PEM)
    #[cfg(feature = "mqtt")]
    #[arg(long, env = "ANCHORWATCH_MQTT_KEY", value_name = "FILE", help_heading = "Sending home")]
    pub mqtt_key: Option<PathBuf>,

    /// What all topics begin with
    #[cfg(feature = "mqtt")]
    #[arg(
        long, env = "ANCHORWATCH_MQTT_PREFIX", value_name = "TOPIC", help_heading = "Sending home",
        default_value_t = Settings::default().mqtt_prefix
    )]
    pub mqtt_prefix: String,

    /// Send at most so many bytes a second, on average; 0 is no limit
    #[cfg(feature = "mqtt")]
    #[arg(
        long, env = "ANCHORWATCH_MQTT_BANDWIDTH", value_name = "BYTES", help_heading = "Sending home",
        default_value_t = Settings::default().mqtt_bandwidth
    )]
    pub mqtt_bandwidth: u64,

    /// The longer side of the small pictures that go with events, in pixels; 0 sends none
    #[cfg(feature = "mqtt")]
    #[arg(
        long, env = "ANCHORWATCH_MQTT_THUMBNAIL", value_name = "PIXELS", help_heading = "Sending home",
        default_value_t = Settings::default().mqtt_thumbnail
    )]
    pub mqtt_thumbnail: u32,

    /// Send whole pictures too, after all events
    #[cfg(feature = "mqtt")]
    #[arg(
        long, env = "ANCHORWATCH_MQTT_CROPS", value_name = "BOOL", help_heading = "Sending home",
        num_args = 0..=1, default_value_t = Settings::default().mqtt_crops, default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub mqtt_crops: bool,

    /// An event for which the broker knows no subscriber counts as sent; otherwise it waits for one
    #[cfg(feature = "mqtt")]
    #[arg(
        long, env = "ANCHORWATCH_MQTT_WITHOUT_SUBSCRIBER", value_name = "BOOL", help_heading = "Sending home",
        num_args = 0..=1, default_value_t = Settings::default().mqtt_without_subscriber,
        default_missing_value = "true", action = clap::ArgAction::Set
    )]
    pub mqtt_without_subscriber: bool,

    /// Announce this unit to Home Assistant
    #[cfg(feature = "mqtt")]
    #[arg(
        long, env = "ANCHORWATCH_MQTT_DISCOVERY", value_name = "BOOL", help_heading = "Sending home",
        num_args = 0..=1, default_value_t = Settings::default().mqtt_discovery, default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub mqtt_discovery: bool,

    /// Send events in the shape of ROS 2's vision_msgs/Detection2DArray too
    #[cfg(feature = "mqtt")]
    #[arg(
        long, env = "ANCHORWATCH_MQTT_DETECTIONS", value_name = "BOOL", help_heading = "Sending home",
        num_args = 0..=1, default_value_t = Settings::default().mqtt_detections, default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub mqtt_detections: bool,

    /// This pin is on while something unknown is in view. On a Raspberry Pi its BCM number, such as 17,
    /// or 17:low where a low level means on
    #[cfg(feature = "gpio")]
    #[arg(long, env = "ANCHORWATCH_GPIO_UNKNOWN", value_name = "PIN", help_heading = "Pins and buses")]
    pub gpio_unknown: Option<Pin>,

    /// That pin stays on for at least so many seconds
    #[cfg(feature = "gpio")]
    #[arg(
        long, env = "ANCHORWATCH_GPIO_PULSE", value_name = "SECONDS", help_heading = "Pins and buses",
        default_value_t = Settings::default().gpio_pulse
    )]
    pub gpio_pulse: f64,

    /// This pin goes on and off every second while frames come, and off when they stop
    #[cfg(feature = "gpio")]
    #[arg(long, env = "ANCHORWATCH_GPIO_HEARTBEAT", value_name = "PIN", help_heading = "Pins and buses")]
    pub gpio_heartbeat: Option<Pin>,

    /// Watch only while this input is on
    #[cfg(feature = "gpio")]
    #[arg(long, env = "ANCHORWATCH_GPIO_ARM", value_name = "PIN", help_heading = "Pins and buses")]
    pub gpio_arm: Option<Pin>,

    /// Judge one frame each time this input goes on, by itself, and no other frames
    #[cfg(feature = "gpio")]
    #[arg(long, env = "ANCHORWATCH_GPIO_TRIGGER", value_name = "PIN", help_heading = "Pins and buses")]
    pub gpio_trigger: Option<Pin>,

    /// Where the pins are: auto, pi (a Raspberry Pi's registers), or a chip such as /dev/gpiochip0
    #[cfg(feature = "gpio")]
    #[arg(
        long, env = "ANCHORWATCH_GPIO_CHIP", value_name = "CHIP", help_heading = "Pins and buses",
        default_value_t = Settings::default().gpio_chip
    )]
    pub gpio_chip: Chip,

    /// Send every verdict over a bus to whoever is there, such as i2c:1:0x42 or spi:0.0
    ///
    /// The messages are those of the companion's link (COBS frames with a checksum), but nothing is
    /// asked and no answer is read.
    #[cfg(feature = "gpio")]
    #[arg(long, env = "ANCHORWATCH_BUS", value_name = "BUS", help_heading = "Pins and buses")]
    pub bus: Option<BusAddress>,

    /// Tell every verdict to the companion microcontroller on this serial port, such as /dev/serial0
    ///
    /// Any tty will do; tcp:HOST:PORT and unix:PATH stand for one. The companion's own events are
    /// kept in the folder of --events, in companion.jsonl.
    #[arg(long, env = "ANCHORWATCH_UART", value_name = "PORT", help_heading = "The companion")]
    pub uart: Option<Address>,

    /// The speed of that port, as the firmware has it
    #[arg(
        long, env = "ANCHORWATCH_BAUD", value_name = "BAUD", help_heading = "The companion",
        default_value_t = Settings::default().baud
    )]
    pub baud: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let watch = WatchConfig::default();
        Self {
            source: None,
            region: RegionRule::Frame,
            min_size: 0,
            camera_size: None,
            camera_rate: None,
            camera_format: None,
            camera_control: Vec::new(),
            wait_for_camera: false,
            frame_timeout: SourceOptions::default().frame_timeout.as_secs_f64(),
            model: None,
            threads: None,
            threshold: None,
            raise: KOfN { k: watch.raise_k, n: watch.raise_n },
            clear: KOfN { k: watch.clear_k, n: watch.clear_n },
            clear_ratio: 0.9,
            cool_down: 0.0,
            learn_background: 0.0,
            background_tolerance: 0.5,
            schedule: None,
            max_fps: None,
            max_load: None,
            max_temperature: None,
            events: None,
            crops: Crops::Jpeg,
            unit: None,
            keep_size: None,
            keep_days: None,
            keep_free: Retention::default().free_floor >> 20,
            keep_known: 0.0,
            #[cfg(feature = "gpsd")]
            gpsd: None,
            #[cfg(feature = "mqtt")]
            mqtt: None,
            #[cfg(feature = "mqtt")]
            mqtt_user: None,
            #[cfg(feature = "mqtt")]
            mqtt_password_file: None,
            #[cfg(feature = "mqtt")]
            mqtt_ca: None,
            #[cfg(feature = "mqtt")]
            mqtt_certificate: None,
            #[cfg(feature = "mqtt")]
            mqtt_key: None,
            #[cfg(feature = "mqtt")]
            mqtt_prefix: SendOptions::default().prefix,
            #[cfg(feature = "mqtt")]
            mqtt_bandwidth: 0,
            #[cfg(feature = "mqtt")]
            mqtt_thumbnail: SendOptions::default().thumbnail_side,
            #[cfg(feature = "mqtt")]
            mqtt_crops: false,
            #[cfg(feature = "mqtt")]
            mqtt_without_subscriber: false,
            #[cfg(feature = "mqtt")]
            mqtt_discovery: false,
            #[cfg(feature = "mqtt")]
            mqtt_detections: false,
            annotate: None,
            stream: None,
            #[cfg(feature = "web")]
            web: None,
            #[cfg(feature = "web")]
            web_token: None,
            #[cfg(feature = "gpio")]
            gpio_unknown: None,
            #[cfg(feature = "gpio")]
            gpio_pulse: 0.0,
            #[cfg(feature = "gpio")]
            gpio_heartbeat: None,
            #[cfg(feature = "gpio")]
            gpio_arm: None,
            #[cfg(feature = "gpio")]
            gpio_trigger: None,
            #[cfg(feature = "gpio")]
            gpio_chip: Chip::Auto,
            #[cfg(feature = "gpio")]
            bus: None,
            uart: None,
            baud: Speed::default().0,
        }
    }
}

/// The keys that are heeded when the configuration is read again.
const RELOADED: [&str; 8] =
    ["region", "min-size", "threshold", "raise", "clear", "clear-ratio", "cool-down", "schedule"];

impl Settings {
    /// Which keys differ that are only heeded at a start.
    pub fn fixed_differences(&self, other: &Settings) -> anyhow::Result<Vec<String>> {
        let (mine, others) = (toml::Table::try_from(self)?, toml::Table::try_from(other)?);
        let mut keys: Vec<String> = mine.keys().chain(others.keys()).cloned().collect();
        keys.sort();
        keys.dedup();
        keys.retain(|key| mine.get(key) != others.get(key) && !RELOADED.contains(&key.as_str()));
        Ok(keys)
    }

    /// When events start and end.
    pub fn watch(&self) -> WatchConfig {
        WatchConfig {
            raise_k: self.raise.k,
            raise_n: self.raise.n,
            clear_k: self.clear.k,
            clear_n: self.clear.n,
            clear_ratio: self.clear_ratio as f32,
        }
    }

    /// How the background is learnt, if it is.
    pub fn background(&self) -> Option<BackgroundRule> {
        (self.learn_background > 0.0).then(|| BackgroundRule {
            learn: Duration::from_secs_f64(self.learn_background),
            tolerance: self.background_tolerance as f32,
        })
    }

    /// How fast frames may be judged.
    pub fn pace(&self) -> PaceRule {
        PaceRule { max_fps: self.max_fps, max_load: self.max_load, max_temperature: self.max_temperature }
    }

    /// What this device is called.
    pub fn unit_name(&self) -> String {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        self.unit.clone().unwrap_or_else(|| host().trim().to_string())
    }

    /// How much of the event log is kept.
    pub fn retention(&self) -> Retention {
        Retention {
            max_bytes: self.keep_size.map(|size| size << 20),
            max_age: self.keep_days.map(|days| Duration::from_secs_f64(days * 86_400.0)),
            free_floor: self.keep_free << 20,
            keep_unsent: self.is_sent_home(),
        }
    }

    /// In which stretches of time a known thing of each class is kept, if any is.
    pub fn keep_known(&self) -> Option<Duration> {
        (self.keep_known > 0.0).then(|| Duration::from_secs_f64(self.keep_known * 60.0))
    }

    /// Whether events are sent to a broker.
    fn is_sent_home(&self) -> bool {
        #[cfg(feature = "mqtt")]
        return self.mqtt.is_some();
        #[cfg(not(feature = "mqtt"))]
        return false;
    }

    /// To which broker what is sent, if to any.
    #[cfg(feature = "mqtt")]
    pub fn sending(&self) -> Option<SendOptions> {
        let broker = BrokerOptions {
            url: self.mqtt.clone()?,
            user: self.mqtt_user.clone(),
            password: None,
            password_file: self.mqtt_password_file.clone(),
            ca: self.mqtt_ca.clone(),
            certificate: self.mqtt_certificate.clone(),
            key: self.mqtt_key.clone(),
            client_id: None,
        };
        Some(SendOptions {
            broker,
            prefix: self.mqtt_prefix.clone(),
            bandwidth: self.mqtt_bandwidth,
            crops: self.mqtt_crops,
            thumbnail_side: self.mqtt_thumbnail,
            without_subscriber: self.mqtt_without_subscriber,
            discovery: self.mqtt_discovery,
            detections: self.mqtt_detections,
            ..SendOptions::default()
        })
    }

    /// Which pins are used for what.
    #[cfg(feature = "gpio")]
    pub fn pins(&self) -> PinSettings {
        PinSettings {
            chip: self.gpio_chip.clone(),
            unknown: self.gpio_unknown,
            pulse: Duration::from_secs_f64(self.gpio_pulse),
            heartbeat: self.gpio_heartbeat,
            arm: self.gpio_arm,
            trigger: self.gpio_trigger,
        }
    }

    /// Whether each frame is asked for by an input, and judged by itself.
    pub fn is_triggered(&self) -> bool {
        #[cfg(feature = "gpio")]
        return self.gpio_trigger.is_some();
        #[cfg(not(feature = "gpio"))]
        return false;
    }

    /// What is asked of the source, for a model with or without colours.
    pub fn source_options(&self, grey: bool) -> SourceOptions {
        SourceOptions {
            camera_size: self.camera_size.map(|size| (size.width, size.height)),
            camera_rate: self.camera_rate,
            camera_format: self.camera_format,
            camera_controls: self.camera_control.clone(),
            grey,
            wait: self.wait_for_camera,
            frame_timeout: Duration::from_secs_f64(self.frame_timeout),
        }
    }

    /// Puts these flags and variables over the configuration file.
    pub fn over_file(self, matches: &ArgMatches, file: Option<&Path>) -> anyhow::Result<Layers> {
        let file = match file {
            Some(path) => Some(path.to_path_buf()),
            None => usual_files().into_iter().find(|path| path.exists()),
        };
        let mut table = toml::Table::try_from(&self)?;
        let mut from_file = toml::Table::new();
        if let Some(path) = &file {
            from_file = read_file(path)?;
            for (key, value) in &from_file {
                if !is_given(matches, key) {
                    table.insert(key.clone(), value.clone());
                }
            }
        }
        let settings: Settings = table.try_into()?;
        settings.check()?;
        Ok(Layers { origins: Origins { matches: matches.clone(), from_file }, settings, file })
    }

    fn check(&self) -> Result<(), UsageError> {
        let fails = |key: &str, what: &str| Err(UsageError(format!("'{key}' {what}")));
        if self.threshold.is_some_and(|value| !(value > 0.0 && value <= f64::from(f32::MAX))) {
            return fails("threshold", "must be above 0");
        }
        if !(0.001..=86_400.0).contains(&self.frame_timeout) {
            return fails("frame-timeout", "must be between 0.001 and 86400 seconds");
        }
        if self.camera_rate.is_some_and(|rate| !(0.01..=1000.0).contains(&rate)) {
            return fails("camera-rate", "must be between 0.01 and 1000 frames a second");
        }
        if self.max_fps.is_some_and(|fps| !(0.1..=1000.0).contains(&fps)) {
            return fails("max-fps", "must be between 0.1 and 1000 frames a second");
        }
        if self.max_load.is_some_and(|share| !(0.01..=1.0).contains(&share)) {
            return fails("max-load", "must be between 0.01 and 1");
        }
        if self.max_temperature.is_some_and(|degrees| !(20.0..=120.0).contains(&degrees)) {
            return fails("max-temperature", "must be between 20 and 120 °C");
        }
        if !(300..=4_000_000).contains(&self.baud) {
            return fails("baud", "must be between 300 and 4000000");
        }
        let a_year = 0.0..=31_536_000.0;
        if !a_year.contains(&self.cool_down) {
            return fails("cool-down", "must be between 0 and 31536000 seconds");
        }
        #[cfg(feature = "gpio")]
        if !(0.0..=3600.0).contains(&self.gpio_pulse) {
            return fails("gpio-pulse", "must be between 0 and 3600 seconds");
        }
        if !a_year.contains(&self.learn_background) {
            return fails("learn-background", "must be between 0 and 31536000 seconds");
        }
        if !(self.background_tolerance > 0.0 && self.background_tolerance <= 100.0) {
            return fails("background-tolerance", "must be above 0 and up to 100");
        }
        if self.keep_days.is_some_and(|days| !(0.0..=36_500.0).contains(&days)) {
            return fails("keep-days", "must be between 0 and 36500 days");
        }
        if self.keep_size.into_iter().chain([self.keep_free]).any(|size| size > 1 << 40) {
            return fails("keep-size", "and 'keep-free' must be at most 1099511627776 MiB");
        }
        if !(0.0..=525_600.0).contains(&self.keep_known) {
            return fails("keep-known", "must be between 0 and 525600 minutes");
        }
        if !(self.clear_ratio > 0.0 && self.clear_ratio <= 1.0) {
            return fails("clear-ratio", "must be above 0 and up to 1");
        }
        Ok(())
    }
}

/// Whether a flag or variable sets this key.
fn is_given(matches: &ArgMatches, key: &str) -> bool {
    let source = matches.value_source(&key.replace('-', "_"));
    matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

/// Where the configuration file is looked for; the first that exists counts.
fn usual_files() -> Vec<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let mut files: Vec<_> = home.map(|home| home.join("anchorwatch/config.toml")).into_iter().collect();
    files.push(PathBuf::from("/etc/anchorwatch/config.toml"));
    files
}

/// A configuration file's keys, checked.
fn read_file(path: &Path) -> anyhow::Result<toml::Table> {
    let named = || format!("configuration file '{}'", path.display());
    let text =
        std::fs::read_to_string(path).map_err(|error| UsageError(error.to_string())).with_context(named)?;
    let wrong = |error: toml::de::Error| UsageError(error.to_string().trim_end().to_string());
    let settings: Settings = toml::from_str(&text).map_err(wrong).with_context(named)?;
    settings.check().with_context(named)?;
    toml::from_str(&text).map_err(wrong).with_context(named)
}

/// Says which variables look like settings and are none: a misspelt one would have no effect.
pub fn warn_of_unknown_variables(program: &Command) {
    let commands = std::iter::once(program).chain(program.get_subcommands());
    let known: Vec<_> = commands.flat_map(Command::get_arguments).filter_map(|arg| arg.get_env()).collect();
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_string_lossy().starts_with("ANCHORWATCH_") && name != Isa::VARIABLE;
        if is_ours && !known.contains(&name.as_os_str()) {
            log::warn!("the environment variable {} has no meaning here", name.to_string_lossy());
        }
    }
}

/// Settings with where they come from.
#[derive(Debug)]
pub struct Layers {
    /// What is in effect.
    pub settings: Settings,
    /// The configuration file, if there is one.
    file: Option<PathBuf>,
    origins: Origins,
}

#[derive(Debug)]
struct Origins {
    matches: ArgMatches,
    from_file: toml::Table,
}

impl Origins {
    fn of(&self, key: &str) -> &'static str {
        match self.matches.value_source(&key.replace('-', "_")) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            _ if self.from_file.contains_key(key) => "file",
            _ => "default",
        }
    }
}

impl Layers {
    /// A configuration file that says the same.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        let mut text = match &self.file {
            Some(path) => format!("# configuration file: {}\n", path.display()),
            None => "# no configuration file\n".to_string(),
        };
        for (key, value) in toml::Table::try_from(&self.settings)? {
            let line = format!("{key} = {value}");
            writeln!(text, "{line:<40} # {}", self.origins.of(&key))?;
        }
        Ok(text)
    }
}

/// "k of n", written `3/5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KOfN {
    /// At least so many …
    pub k: u8,
    /// … of so many.
    pub n: u8,
}

impl FromStr for KOfN {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once('/').and_then(|(k, n)| Some((k.trim().parse().ok()?, n.trim().parse().ok()?)));
        match numbers {
            Some((k, n)) if (1..=64).contains(&n) && (1..=n).contains(&k) => Ok(Self { k, n }),
            _ => Err(format!("'{text}' is not K/N, such as 3/5, with 1 ≤ K ≤ N ≤ 64")),
        }
    }
}

impl fmt::Display for KOfN {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.k, self.n)
    }
}

/// Width and height, written `640x480`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CameraSize {
    width: u32,
    height: u32,
}

impl FromStr for CameraSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('x')
            .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
        match numbers {
            Some((width, height)) if width > 0 && height > 0 => Ok(Self { width, height }),
            _ => Err(format!("'{text}' is not a size such as 640x480")),
        }
    }
}

impl fmt::Display for CameraSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.width, self.height)
    }
}

macro_rules! text_in_files {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    )*};
}

text_in_files!(KOfN, CameraSize);

/// How the pictures of events are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Crops {
    /// Small
    Jpeg,
    /// Lossless, some five times as large
    Png,
}

impl From<Crops> for CropFormat {
    fn from(crops: Crops) -> Self {
        match crops {
            Crops::Jpeg => CropFormat::Jpeg,
            Crops::Png => CropFormat::Png,
        }
    }
}

/// A region rule as text.
mod as_text {
    use super::RegionRule;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(rule: &RegionRule, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(rule)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RegionRule, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
