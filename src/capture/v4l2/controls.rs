//! A camera's controls: exposure, gain, white balance and whatever else it has. Listed and set by
//! name, as `v4l2-ctl` writes them.

use super::super::camera_options::ControlSetting;
use serde::Serialize;
use std::io;
use v4l::Device;
use v4l::v4l_sys::{v4l2_control, v4l2_query_ext_ctrl, v4l2_querymenu};
use v4l::v4l2::vidioc;

/// One control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Control {
    /// As it is set by: `exposure_time_absolute`.
    pub name: String,
    /// The driver's number for it.
    #[serde(skip)]
    id: u32,
    /// What its values are.
    pub kind: ControlKind,
    /// The least value.
    pub minimum: i64,
    /// The largest value.
    pub maximum: i64,
    /// From one value to the next.
    pub step: u64,
    /// What it is when nothing was set.
    pub default: i64,
    /// What it is now, if it can be read.
    pub value: Option<i64>,
    /// The names of a menu's values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<(i64, String)>,
    /// It cannot be set now: another control (an automatic) rules it.
    pub inactive: bool,
}

/// What a control's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlKind {
    /// Numbers.
    Number,
    /// 0 or 1.
    Switch,
    /// One of a few, which have names.
    Menu,
}

const DISABLED: u32 = 0x1;
const READ_ONLY: u32 = 0x4;
const INACTIVE: u32 = 0x10;
const NEXT: u32 = 0x8000_0000;

/// Every control that can be set by a number. (v4l's own list panics at kinds that it does not know.)
pub(super) fn list(camera: &Device) -> Vec<Control> {
    let mut controls = Vec::new();
    let mut after = 0;
    // More than any camera has; a driver that counts in circles must not hang the program.
    for _ in 0..1000 {
        let mut query = empty_query();
        query.id = after | NEXT;
        if ioctl(camera, vidioc::VIDIOC_QUERY_EXT_CTRL, &mut query).is_err() {
            break;
        }
        after = query.id;
        let kind = match query.type_ {
            1 | 5 | 8 => ControlKind::Number, // integers of 32 and 64 bits, bit masks
            2 => ControlKind::Switch,
            3 | 9 => ControlKind::Menu,
            _ => continue, // headings, buttons, texts, tables
        };
        if query.flags & (DISABLED | READ_ONLY) != 0 {
            continue;
        }
        let title: Vec<u8> =
            query.name.iter().map(|&byte| byte as u8).take_while(|byte| *byte != 0).collect();
        let items = if kind == ControlKind::Menu { menu(camera, &query) } else { Vec::new() };
        controls.push(Control {
            name: plain(&String::from_utf8_lossy(&title)),
            id: query.id,
            kind,
            minimum: query.minimum,
            maximum: query.maximum,
            step: query.step,
            default: query.default_value,
            value: if query.type_ == 5 { None } else { value(camera, query.id).ok() },
            items,
            inactive: query.flags & INACTIVE != 0,
        });
    }
    controls
}

/// Sets one after another, in the order given: an automatic is switched off before what it rules is
/// set. The error is for people.
pub(super) fn set(camera: &Device, settings: &[ControlSetting]) -> Result<(), String> {
    for setting in settings {
        let mut controls = list(camera);
        for (name, wanted) in expand(setting, &controls) {
            let Some(control) = controls.iter().find(|control| control.name == name) else {
                let names: Vec<_> = controls.iter().map(|control| control.name.as_str()).collect();
                return Err(format!("it has no control '{name}'; it has {}", names.join(", ")));
            };
            let wanted = number(control, &wanted)?;
            let mut order = v4l2_control { id: control.id, value: wanted };
            ioctl(camera, vidioc::VIDIOC_S_CTRL, &mut order)
                .map_err(|error| format!("its control {name} cannot be set to {wanted}: {error}"))?;
            if order.value != wanted {
                log::warn!("the camera has set {name} to {} and not {wanted}", order.value);
            }
            controls = list(camera);
        }
    }
    Ok(())
}

/// `exposure`, `gain` and `white-balance` stand for what a driver calls them, with the automatic
/// switched off, or for the automatic (`auto`).
fn expand(setting: &ControlSetting, controls: &[Control]) -> Vec<(String, String)> {
    let (automatics, values): (&[(&str, &str, &str)], &[&str]) = match setting.name.as_str() {
        // The name, its value for "by hand", its value for "automatic".
        "exposure" => (
            &[("auto_exposure", "1", "3"), ("exposure_auto", "1", "3")],
            &["exposure_time_absolute", "exposure_absolute"],
        ),
        "gain" => (&[("gain_automatic", "0", "1"), ("autogain", "0", "1")], &["gain", "analogue_gain"]),
        "white_balance" => (
            &[("white_balance_automatic", "0", "1"), ("white_balance_temperature_auto", "0", "1")],
            &["white_balance_temperature"],
        ),
        _ => return vec![(setting.name.clone(), setting.value.clone())],
    };
    let has = |name: &str| controls.iter().any(|control| control.name == name);
    let automatic = automatics.iter().find(|(name, ..)| has(name));
    let by_itself = setting.value == "auto";
    let mut orders: Vec<(String, String)> = automatic
        .map(|(name, by_hand, auto)| {
            // A menu may lack a value (many cameras have no "automatic" but "aperture priority").
            (name.to_string(), if by_itself { auto } else { by_hand }.to_string())
        })
        .into_iter()
        .collect();
    if !by_itself || orders.is_empty() {
        let name = values.iter().find(|name| has(name)).copied().unwrap_or(values[0]);
        orders.push((name.to_string(), setting.value.clone()));
    }
    orders
}

/// A value from its text: a number, a menu's item by its name, `on` or `off`.
fn number(control: &Control, text: &str) -> Result<i32, String> {
    let wanted = plain(text);
    let item = control.items.iter().find(|(_, name)| plain(name) == wanted).map(|(value, _)| *value);
    let switch = match text {
        "on" | "true" => Some(1),
        "off" | "false" => Some(0),
        _ => None,
    };
    let value = item
        .or(switch.filter(|_| control.kind == ControlKind::Switch))
        .or_else(|| text.parse::<i64>().ok())
        .filter(|value| (control.minimum..=control.maximum).contains(value))
        .and_then(|value| i32::try_from(value).ok());
    value.ok_or_else(|| {
        let choice = match control.items.as_slice() {
            [] => format!("a number from {} to {}", control.minimum, control.maximum),
            items => {
                let items: Vec<_> = items.iter().map(|(value, name)| format!("{value} ({name})")).collect();
                items.join(", ")
            }
        };
        format!("its control {} cannot be '{text}': choose {choice}", control.name)
    })
}

/// As `v4l2-ctl` writes names: small letters and digits, everything between them one underscore.
pub(in super::super) fn plain(title: &str) -> String {
    let words = title.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

fn menu(camera: &Device, query: &v4l2_query_ext_ctrl) -> Vec<(i64, String)> {
    let mut items = Vec::new();
    for index in query.minimum.max(0)..=query.maximum.min(256) {
        let mut item = empty_menu();
        (item.id, item.index) = (query.id, index as u32);
        // Drivers leave items out.
        if ioctl(camera, vidioc::VIDIOC_QUERYMENU, &mut item).is_err() {
            continue;
        }
        let name = if query.type_ == 9 {
            // SAFETY: both fields are plain bytes, all of them written; of a menu of integers the
            // kernel has written this one.
            unsafe { item.__bindgen_anon_1.value }.to_string()
        } else {
            // SAFETY: as above, of a menu of names.
            let name = unsafe { item.__bindgen_anon_1.name };
            let name: Vec<u8> = name.into_iter().take_while(|byte| *byte != 0).collect();
            String::from_utf8_lossy(&name).into_owned()
        };
        items.push((index, name));
    }
    items
}

fn value(camera: &Device, id: u32) -> io::Result<i64> {
    let mut control = v4l2_control { id, value: 0 };
    ioctl(camera, vidioc::VIDIOC_G_CTRL, &mut control)?;
    Ok(i64::from(control.value))
}

fn empty_query() -> v4l2_query_ext_ctrl {
    // SAFETY: it is made of integers, of which 0 is one.
    unsafe { std::mem::zeroed() }
}

fn empty_menu() -> v4l2_querymenu {
    // SAFETY: it is made of integers, of which 0 is one.
    unsafe { std::mem::zeroed() }
}

/// The request must be one whose argument is a `T`; all callers are in this file.
fn ioctl<T>(camera: &Device, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
    // SAFETY: the request's argument is a T, which lives until the call returns.
    unsafe { v4l::v4l2::ioctl(camera.handle().fd(), request, std::ptr::from_mut(argument).cast()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(name: &str, kind: ControlKind, maximum: i64) -> Control {
        let items = match kind {
            ControlKind::Menu => vec![(0, "Auto Mode".to_string()), (1, "Manual Mode".to_string())],
            _ => Vec::new(),
        };
        Control {
            name: name.to_string(),
            id: 1,
            kind,
            minimum: 0,
            maximum,
            step: 1,
            default: 0,
            value: None,
            items,
            inactive: false,
        }
    }

    fn expanded(setting: &str, controls: &[&str]) -> Vec<String> {
        let controls: Vec<_> = controls.iter().map(|name| control(name, ControlKind::Number, 100)).collect();
        let orders = expand(&setting.parse().unwrap(), &controls);
        orders.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn plain_names_stand_for_what_the_driver_has() {
        let new = ["auto_exposure", "exposure_time_absolute", "gain", "white_balance_automatic"];
        assert_eq!(expanded("exposure=20", &new), ["auto_exposure=1", "exposure_time_absolute=20"]);
        assert_eq!(expanded("exposure=auto", &new), ["auto_exposure=3"]);
        assert_eq!(expanded("gain=20", &new), ["gain=20"]);
        assert_eq!(expanded("white-balance=auto", &new), ["white_balance_automatic=1"]);
        assert_eq!(
            expanded("exposure=20", &["exposure_auto", "exposure_absolute"]),
            ["exposure_auto=1", "exposure_absolute=20"]
        );
        assert_eq!(expanded("Power Line Frequency=50 Hz", &[]), ["power_line_frequency=50 Hz"]);
    }

    #[test]
    fn values_are_numbers_or_names_of_the_menu_and_must_be_in_range() {
        let menu = control("auto_exposure", ControlKind::Menu, 3);
        assert_eq!((number(&menu, "manual mode"), number(&menu, "3")), (Ok(1), Ok(3)));
        assert!(number(&menu, "off").unwrap_err().contains("1 (Manual Mode)"));
        let switch = control("autogain", ControlKind::Switch, 1);
        assert_eq!((number(&switch, "on"), number(&switch, "0")), (Ok(1), Ok(0)));
        assert!(number(&switch, "2").is_err());
        let gain = control("gain", ControlKind::Number, 100);
        assert_eq!(number(&gain, "100"), Ok(100));
        assert!(number(&gain, "101").unwrap_err().contains("from 0 to 100"));
    }
}
