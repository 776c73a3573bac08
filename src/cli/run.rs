//! `anchorwatch run`: the main job. Reads frames, judges them, shows and keeps the results.

use super::exit::UsageError;
use super::run_display::{Display, Form};
use super::settings::Settings;
use super::{demo, model, terminal};
use crate::capture::Source;
use crate::link::{Journal, Reported, Reporter, Speed};
use crate::network::Judge;
use crate::pipeline::{Capture, Happening, Recorder, Rules, Run};
use crate::record::{AnnotatedFolder, EventLog};
use clap::{ArgMatches, Args};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long there may be no verdict before the companion is left to think this program dead.
const PATIENCE: Duration = Duration::from_secs(10);

/// Judge pictures, a video or a camera: known, or never seen
///
/// Prints one line a picture or frame: 'known dog 0.42', or 'UNKNOWN (most like cat) 1.70'. The
/// number is the rejection score ÷ the threshold: up to 1.0 is known, above it is unknown. Each
/// picture is judged by itself; in a video or before a camera, something unknown is one event from
/// when it comes into view until it is gone. At the end there is a summary. Ctrl-C or SIGTERM end
/// it; everything seen until then is kept.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    settings: Settings,

    /// Show what this program does, on a few pictures inside it
    #[arg(long, conflicts_with = "source", help_heading = "What to look at")]
    demo: bool,

    /// Stop after so many judged frames
    #[arg(long, value_name = "COUNT", help_heading = "What to look at")]
    max_frames: Option<u64>,

    /// Print a JSON object for every verdict, one a line, and the summary to standard error
    #[arg(long, help_heading = "What to print")]
    json: bool,
}

pub fn run(args: RunArgs, matches: &ArgMatches, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = args.settings.over_file(matches, file)?.settings;
    let source = match &settings.source {
        _ if args.demo => demo::source(),
        Some(source) => Source::open(source, &settings.source_options())?,
        None => {
            let what = "say what to look at: --source with a picture, folder, video or camera, or --demo";
            return Err(UsageError(what.to_string()).into());
        }
    };
    let model = model::load(settings.model.as_deref())?.with_threads(model::threads(settings.threads));
    let mut judge = Judge::new(&model)?;
    if let Some(threshold) = settings.threshold {
        judge.set_threshold(threshold as f32);
    }

    let (live, pictures) = (source.is_live(), source.is_pictures());
    let rules = Rules {
        regions: settings.region.clone(),
        watch: (!pictures).then(|| settings.watch()),
        max_frames: args.max_frames,
    };
    let log =
        settings.events.as_deref().map(|folder| EventLog::open(folder, settings.crops.into())).transpose()?;
    let annotated = settings.annotate.as_deref().map(AnnotatedFolder::open).transpose()?;
    let recorder = Recorder::start(log, annotated, &model, live)?;
    let companion = companion(&settings)?;

    let form = match () {
        () if args.json => Form::Json,
        // A camera never ends, and a person sees the status line.
        () if live || !pictures && terminal::is_interactive() => Form::Events,
        () => Form::Verdicts,
    };
    let mut display = Display::new(form, model.metadata(), &settings, pictures, source.frame_count());
    if args.demo {
        display.say(&demo::introduction(model.metadata()))?;
    }
    let mut capture = Capture::start(source)?;
    let stopper = capture.stopper();
    let interrupted = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if interrupted.swap(true, Ordering::Relaxed) {
            // The second time, something hangs that should not.
            std::process::exit(1);
        }
        stopper.stop();
    })?;

    let mut run = Run::new(judge, model.metadata(), rules, &recorder)?;
    let result = run.to_the_end(&mut capture, &mut |happening, tally| {
        if let (Happening::Judged { region, verdict, .. }, Some(companion)) = (&happening, &companion) {
            companion.verdict(u16::try_from(region.id).unwrap_or(u16::MAX), verdict);
        }
        display.show(happening, tally)
    });
    let tally = run.tally;
    let recorded = recorder.finish();
    if let Some(companion) = companion {
        tell_of(&companion.finish());
    }
    let summed_up = display.sum_up(&tally, &recorded);
    result?;
    summed_up?;
    if args.demo {
        display.say(demo::AFTERWARDS)?;
    }
    if !recorded.is_complete() {
        anyhow::bail!("not everything could be recorded: {}", recorded.first_error.unwrap_or_default());
    }
    Ok(ExitCode::SUCCESS)
}

/// The thread that tells the companion, if there is one.
fn companion(settings: &Settings) -> anyhow::Result<Option<Reporter>> {
    let Some(address) = &settings.uart else { return Ok(None) };
    let journal = settings.events.as_deref().map(|folder| Journal::open(&folder.join("companion.jsonl")));
    let reporter = Reporter::start(address.clone(), Speed(settings.baud), journal.transpose()?, PATIENCE)?;
    Ok(Some(reporter))
}

fn tell_of(reported: &Reported) {
    let Reported { verdicts, dropped, refused, events, .. } = reported;
    log::info!("companion: {verdicts} verdicts told, {events} events heard of");
    if dropped + refused > 0 {
        log::warn!("companion: {dropped} verdicts did not get through, and {refused} were refused");
    }
}
