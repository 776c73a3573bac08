//! Which cameras there are, and what each offers: for people who look for the right device and
//! setting, so that whatever is wrong with one is told and does not hide the others.

use super::controls::{self, Control};
use super::formats::{self, Offer};
use serde::Serialize;
use std::path::PathBuf;
use v4l::Device;
use v4l::capability::Flags;

/// A video device.
#[derive(Clone, Debug, Serialize)]
pub struct CameraInfo {
    /// `/dev/video0`.
    pub device: String,
    /// What the maker calls it.
    pub name: String,
    /// The kernel's driver.
    pub driver: String,
    /// Where it is connected: this stays when numbers change.
    pub bus: String,
    /// Whether pictures can be had from it. A webcam has a second device for metadata, and CSI
    /// cameras have raw sensor devices.
    pub gives_frames: bool,
    /// Why it cannot be looked at, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its formats.
    pub formats: Vec<Offer>,
    /// Its controls.
    pub controls: Vec<Control>,
}

/// Every video device, by its number.
pub fn cameras() -> Vec<CameraInfo> {
    let number =
        |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.strip_prefix("video")?.parse().ok() };
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| number(path).is_some()).collect();
    paths.sort_by_key(number);
    paths.into_iter().map(|path| look_at(&path.display().to_string())).collect()
}

fn look_at(device: &str) -> CameraInfo {
    let mut info = CameraInfo {
        device: device.to_string(),
        name: String::new(),
        driver: String::new(),
        bus: String::new(),
        gives_frames: false,
        problem: None,
        formats: Vec::new(),
        controls: Vec::new(),
    };
    let camera = match Device::with_path(device) {
        Ok(camera) => camera,
        Err(error) => {
            info.problem = Some(super::reason(error));
            return info;
        }
    };
    match camera.query_caps() {
        Ok(capabilities) => {
            let text = |text: String| text.trim_end_matches('\0').to_string();
            (info.name, info.driver) = (text(capabilities.card), text(capabilities.driver));
            info.bus = text(capabilities.bus);
            info.gives_frames = capabilities.capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING);
        }
        Err(error) => info.problem = Some(format!("it is no camera ({error})")),
    }
    if info.gives_frames {
        match formats::offers(&camera) {
            Ok(offers) => info.formats = offers,
            Err(error) => info.problem = Some(error),
        }
        info.controls = controls::list(&camera);
    }
    info
}
