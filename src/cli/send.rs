//! Sending the field log home: beside a run (`run --mqtt`), and by itself (`anchorwatch send`).

use super::exit::UsageError;
use super::settings::Settings;
use super::terminal;
use crate::network::Model;
use crate::record::EventLog;
use anchorwatch_mqtt::{About, Sender, Sent, Stop, send_all};
use anchorwatch_store::Store;
use clap::{ArgMatches, Args};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::process::ExitCode;

/// Send what waits in a field log to an MQTT broker, and end
///
/// For units that are not always on, or that have a network now and then: it takes the settings of 'run'
/// (--events, --unit, --mqtt and those after it). While 'run --mqtt' sends, that does it already, and this
/// is refused. The exit code is 1 then, or if the broker cannot be reached: what is not sent waits.
#[derive(Args, Debug)]
pub struct SendArgs {
    #[command(flatten)]
    settings: Settings,

    /// Print one JSON object
    #[arg(long, help_heading = "What to print")]
    json: bool,
}

pub fn run(args: SendArgs, matches: &ArgMatches, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = args.settings.over_file(matches, file)?.settings;
    let (Some(folder), Some(options)) = (&settings.events, settings.sending()) else {
        let what = "say what to send, and where: --events DIR and --mqtt URL, or these keys in the configuration file";
        return Err(UsageError(what.to_string()).into());
    };
    // That there is no log is said before the network is tried.
    drop(Store::attach(folder)?);
    let stop = Stop::default();
    let ends = stop.clone();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_string()).spawn(move || {
        if signals.forever().next().is_some() {
            ends.stop();
        }
    })?;
    let about = About { version: env!("CARGO_PKG_VERSION").to_string(), ..About::default() };
    let sent = send_all(folder, &settings.unit_name(), options, about, &stop)?;
    if args.json {
        terminal::print_json(&sent)?;
    } else {
        terminal::print_line(&format!(
            "{} events and {} pictures sent, {} bytes; {} wait",
            sent.events, sent.crops, sent.bytes, sent.unsent
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The thread that sends while a run records into this log, if there is to be one. The log then tells it
/// of what it records.
pub fn beside_a_run(
    log: Option<EventLog>,
    settings: &Settings,
    model: &Model,
) -> anyhow::Result<(Option<EventLog>, Option<Sender>)> {
    let Some(options) = settings.sending() else { return Ok((log, None)) };
    let (Some(folder), Some(mut log)) = (&settings.events, log) else {
        let what = "--mqtt sends what --events keeps, which is not given";
        return Err(UsageError(what.to_string()).into());
    };
    let about = About {
        version: env!("CARGO_PKG_VERSION").to_string(),
        model: model.id().to_string(),
        model_version: Some(model.metadata().name.clone()),
        dropped: 0,
    };
    let sender = Sender::start(folder, &settings.unit_name(), options, about)?;
    log.tell(sender.waker());
    Ok((Some(log), Some(sender)))
}

/// How it went, at the end of a run.
pub fn tell_of(sent: &Sent) {
    log::info!("sent home: {} events, {} pictures; {} events wait", sent.events, sent.crops, sent.unsent);
    if let Some(problem) = &sent.problem {
        log::warn!("{} events wait to be sent: {problem}", sent.unsent);
    }
}
