//! `anchorwatch cameras`: which cameras there are, and what can be asked of each.

use super::terminal;
use crate::capture::{CameraInfo, Control, ControlKind, OfferedSize, cameras};
use clap::Args;
use std::fmt::Write;
use std::process::ExitCode;

/// List the cameras with their formats, sizes, rates and controls
///
/// What is listed can be asked for: 'run --source DEVICE --camera-size WxH --camera-rate FPS
/// --camera-format FORMAT --camera-control NAME=VALUE', or the same in the configuration file.
#[derive(Args, Debug)]
pub struct CamerasArgs {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub fn run(args: &CamerasArgs) -> anyhow::Result<ExitCode> {
    let cameras = cameras();
    if args.json {
        terminal::print_json(&cameras)?;
    } else if cameras.is_empty() {
        terminal::print_line("there is no camera: no /dev/video*")?;
    } else {
        let texts: Vec<_> = cameras.iter().map(text).collect();
        terminal::print_line(texts.join("\n\n").trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

// Writing to a String cannot fail: the results are left alone.
fn text(camera: &CameraInfo) -> String {
    let mut text = camera.device.clone();
    if !camera.name.is_empty() {
        let _ = write!(text, "  {} (driver {}, {})", camera.name, camera.driver, camera.bus);
    }
    if let Some(problem) = &camera.problem {
        let _ = write!(text, "\n  {problem}");
    } else if !camera.gives_frames {
        text += "\n  gives no frames: metadata, or a raw sensor";
    }
    for offer in &camera.formats {
        let _ = write!(text, "\n  {}", offer.format);
        if !offer.understood {
            text += "  (not understood)";
        }
        for size in &offer.sizes {
            let _ = write!(text, "\n    {}", size_text(size));
        }
    }
    if !camera.controls.is_empty() {
        text += "\n  controls";
    }
    for control in &camera.controls {
        let _ = write!(text, "\n    {}", control_text(control));
    }
    text
}

fn size_text(size: &OfferedSize) -> String {
    let mut text = format!("{}x{}", size.least.0, size.least.1);
    if size.most != size.least {
        let _ =
            write!(text, " to {}x{} in steps of {}x{}", size.most.0, size.most.1, size.step.0, size.step.1);
    }
    if !size.rates.is_empty() {
        let rates: Vec<_> =
            size.rates.iter().map(|rate| format!("{}", (rate * 100.0).round() / 100.0)).collect();
        let _ = write!(text, "  {} frames/s", rates.join(", "));
    }
    text
}

fn control_text(control: &Control) -> String {
    let Control { name, kind, minimum, maximum, default, value, items, inactive, .. } = control;
    let mut text = match kind {
        ControlKind::Number => format!("{name:<32} {minimum} to {maximum}, default {default}"),
        ControlKind::Switch => format!("{name:<32} 0 or 1, default {default}"),
        ControlKind::Menu => {
            let items: Vec<_> = items.iter().map(|(value, name)| format!("{value} {name}")).collect();
            format!("{name:<32} {}; default {default}", items.join(", "))
        }
    };
    if let Some(value) = value {
        let _ = write!(text, ", now {value}");
    }
    if *inactive {
        text += " (ruled by another control)";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_worded() {
        let mut size =
            OfferedSize { least: (640, 480), most: (640, 480), step: (0, 0), rates: vec![7.5, 29.97003] };
        assert_eq!(size_text(&size), "640x480  7.5, 29.97 frames/s");
        (size.most, size.step, size.rates) = ((1280, 960), (2, 2), Vec::new());
        assert_eq!(size_text(&size), "640x480 to 1280x960 in steps of 2x2");
    }
}
