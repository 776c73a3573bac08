//! `anchorwatch link`: asks the companion microcontroller, and sets it up.

use super::exit::{DIFFERENT, UsageError};
use super::{model, terminal};
use crate::link::{Address, Journal, Link, LinkError, Speed, wording};
use anchorwatch_core::link::{Hello, PROTOCOL_VERSION, Request, Version};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Ask the companion microcontroller on a serial port, and set it up
///
/// The companion (see firmware/README.md) drives the alarm when this board hangs or is off. While
/// 'run --uart' talks to it, nobody else can: end that first.
#[derive(Args, Debug)]
pub struct LinkArgs {
    #[command(subcommand)]
    command: LinkCommand,

    /// Its port: a tty such as /dev/serial0, or tcp:HOST:PORT or unix:PATH
    #[arg(long, global = true, env = "ANCHORWATCH_UART", value_name = "PORT")]
    port: Option<Address>,

    /// The speed of a serial port, as the firmware has it
    #[arg(
        long, global = true, env = "ANCHORWATCH_BAUD", value_name = "BAUD", default_value_t = Speed::default().0
    )]
    baud: u32,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum LinkCommand {
    /// Show its alarm, its centres, its clock and what it has counted
    Status,
    /// Show the events that it still has, recorded here or not
    Events,
    /// Keep its events in a file, one JSON object a line, each once, until Ctrl-C
    Record {
        /// The file; it is continued if it is there
        file: PathBuf,
    },
    /// Give it a model's class centres and threshold, for logits that it judges by itself
    Upload {
        /// The model file; without it, the default model inside this program
        #[arg(env = "ANCHORWATCH_MODEL", value_name = "MODEL")]
        model: Option<PathBuf>,
        /// Another threshold than the model's
        #[arg(long, value_name = "SCORE")]
        threshold: Option<f32>,
    },
    /// Set its clock to this board's
    Sync,
    /// Silence its alarm until something new raises it, as its button does
    Acknowledge,
    /// Show its firmware's version; exit code 3 if that is not this program's
    Version,
}

pub fn run(args: &LinkArgs) -> anyhow::Result<ExitCode> {
    let Some(address) = &args.port else {
        let what = "say where the companion is: --port with a serial port such as /dev/serial0";
        return Err(UsageError(what.to_string()).into());
    };
    let open = |last| Link::open(address, Speed(args.baud), last);
    match &args.command {
        LinkCommand::Status => status(&mut open(None)?, args.json)?,
        LinkCommand::Events => events(&mut open(None)?, args.json)?,
        LinkCommand::Record { file } => {
            let mut journal = Journal::open(file)?;
            record(&mut open(journal.last())?, &mut journal, args.json)?;
        }
        LinkCommand::Upload { model, threshold } => {
            upload(&mut open(None)?, model.as_deref(), *threshold, args.json)?;
        }
        LinkCommand::Sync => {
            let before = open(None)?.sync()?;
            let (text, time) = (wording::clock_text(&before), wording::time_text(&before));
            say(args.json, &format!("its clock is set; it was {text}"), || json!({ "before": time }))?;
        }
        LinkCommand::Acknowledge => {
            open(None)?.ask(Request::AcknowledgeAlarm)?;
            say(args.json, "the alarm is acknowledged", || json!({ "acknowledged": true }))?;
        }
        LinkCommand::Version => return version(&mut open(None)?, args.json),
    }
    Ok(ExitCode::SUCCESS)
}

fn say(as_json: bool, text: &str, object: impl FnOnce() -> serde_json::Value) -> anyhow::Result<()> {
    if as_json {
        terminal::print_json(&object())?
    } else {
        terminal::print_line(text)?
    }
    Ok(())
}

fn status(link: &mut Link, as_json: bool) -> anyhow::Result<()> {
    let Hello { firmware, board, .. } = link.greet()?;
    let (state, counters) = (link.state()?, link.counters()?);
    if as_json {
        terminal::print_json(&json!({
            "board": board.as_str(),
            "firmware": firmware.to_string(),
            "alarm": wording::alarm_text(state.alarm),
            "raised_regions": state.raised_regions,
            "button": state.button,
            "uptime_ms": state.clock.uptime_ms,
            "time": wording::time_text(&state.clock),
            "newest_event": state.newest_event,
            "waiting_events": state.waiting_events,
            "centres": state.centres.as_ref().map(wording::centres_json),
            "counters": counters,
        }))?;
        return Ok(());
    }
    let centres = state.centres.as_ref().map_or_else(
        || "none: 'anchorwatch link upload' gives it a model's".to_string(),
        wording::centres_text,
    );
    let counted = format!(
        "{} verdicts, {} of them unknown, {} more refused; {} events lost; host lost {} times",
        counters.verdicts,
        counters.unknown,
        counters.refused_verdicts,
        counters.lost_events,
        counters.host_losses
    );
    let flash = match counters.flash_errors {
        0 => "sound".to_string(),
        errors => {
            format!("{errors} failures since its start: if 'centres' is not what it should be, upload again")
        }
    };
    let broken = |frames: &anchorwatch_core::link::FrameCounters| {
        u64::from(frames.too_long)
            + u64::from(frames.cut_off)
            + u64::from(frames.checksum)
            + u64::from(frames.version)
            + u64::from(frames.unknown)
    };
    let line = format!(
        "{} sound frames, {} broken; {} bytes lost",
        counters.host.messages,
        broken(&counters.host),
        counters.serial_errors
    );
    for (what, value) in [
        ("companion", format!("{board}, firmware {firmware}")),
        ("alarm", format!("{}, {} regions raised", wording::alarm_text(state.alarm), state.raised_regions)),
        ("clock", wording::clock_text(&state.clock)),
        ("events", format!("{} so far, {} to be recorded", state.newest_event, state.waiting_events)),
        ("centres", centres),
        ("counted", counted),
        ("line", line),
        ("flash", flash),
    ] {
        terminal::print_line(&format!("{what:<10} {value}"))?;
    }
    Ok(())
}

fn events(link: &mut Link, as_json: bool) -> anyhow::Result<()> {
    for event in link.ring()? {
        say(as_json, &wording::event_text(&event), || wording::event_json(&event))?;
    }
    Ok(())
}

fn record(link: &mut Link, journal: &mut Journal, as_json: bool) -> anyhow::Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    let theirs = ended.clone();
    ctrlc::set_handler(move || theirs.store(true, Ordering::Relaxed))?;
    while !ended.load(Ordering::Relaxed) {
        link.exchange(Duration::from_millis(100))?;
        while let Some(received) = link.take_event() {
            journal.record(&received)?;
            link.recorded(received.boot, received.event.number);
            say(as_json, &wording::event_text(&received.event), || wording::received_json(&received))?;
        }
        if let Some(Err(error)) = link.take_reply() {
            return Err(error.into());
        }
        if link.is_idle() && link.silence() > Duration::from_secs(1) {
            link.begin(Request::Heartbeat);
        }
    }
    Ok(())
}

fn upload(link: &mut Link, path: Option<&Path>, threshold: Option<f32>, as_json: bool) -> anyhow::Result<()> {
    let model = model::load(path)?;
    let metadata = model.metadata();
    if threshold.is_none() && !metadata.class_thresholds.is_empty() {
        log::warn!("the companion has one threshold for all classes: those of single classes are not heeded");
    }
    let threshold = threshold.unwrap_or(metadata.threshold.value);
    let header =
        link.upload(&metadata.flat_centres(), metadata.logits(), threshold, digest(model.id()), |at, of| {
            log::info!("{at} of {of} bytes");
        })?;
    say(as_json, &format!("uploaded: {}", wording::centres_text(&header)), || wording::centres_json(&header))
}

/// The bytes of a model's name, which are hexadecimal digits; zeros after them.
fn digest(id: &str) -> [u8; 8] {
    let mut bytes = [0; 8];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = id.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or(0);
    }
    bytes
}

fn version(link: &mut Link, as_json: bool) -> anyhow::Result<ExitCode> {
    let (firmware, board) = match link.greet() {
        Ok(hello) => (hello.firmware, hello.board),
        // Another protocol is another version, whatever it is.
        Err(error @ LinkError::Protocol { .. }) => {
            log::error!("{error}");
            return Ok(ExitCode::from(DIFFERENT));
        }
        Err(error) => return Err(error.into()),
    };
    let same = firmware == Version::THIS;
    let verdict = match firmware.cmp(&Version::THIS) {
        std::cmp::Ordering::Less => "older than this program: update the firmware",
        std::cmp::Ordering::Equal => "the same as this program's",
        std::cmp::Ordering::Greater => "newer than this program: update the program",
    };
    say(as_json, &format!("firmware {firmware} on {board}: {verdict} ({})", Version::THIS), || {
        json!({
            "board": board.as_str(),
            "firmware": firmware.to_string(),
            "program": Version::THIS.to_string(),
            "protocol": PROTOCOL_VERSION,
            "same": same,
        })
    })?;
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_is_its_first_bytes() {
        assert_eq!(digest("0123456789ab"), [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0, 0]);
    }
}
