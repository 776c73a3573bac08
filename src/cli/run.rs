//! `anchorwatch run`: the main job. Reads frames, judges them, shows and keeps the results.

use super::exit::UsageError;
use super::run_display::{Display, Form};
use super::run_lines as lines;
#[cfg(feature = "mqtt")]
use super::send;
use super::settings::Settings;
use super::{demo, model, terminal};
use crate::capture::Source;
use crate::link::{Journal, Reported, Reporter, Speed};
use crate::network::Crew;
#[cfg(feature = "web")]
use crate::network::Metadata;
use crate::network::metadata::Colour;
#[cfg(feature = "gpio")]
use crate::notify::BoardOutputs;
use crate::notify::{Stream, Systemd};
use crate::pipeline::{Capture, Changes, Happening, Recorder, Rules, Run, Stopper};
use crate::record::{AnnotatedFolder, EventLog};
#[cfg(feature = "web")]
use crate::serve;
use crate::watch::background::calm;
#[cfg(feature = "gpsd")]
use anchorwatch_position::{GpsdSettings, Locator};
use anyhow::Context;
use clap::{ArgMatches, Args};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
#[cfg(feature = "web")]
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// How long there may be no verdict before the companion is left to think this program dead.
const PATIENCE: Duration = Duration::from_secs(10);

/// Judge pictures, a video or a camera: known, or never seen
///
/// Prints one line a picture or frame: 'known dog 0.42', or 'UNKNOWN (most like cat) 1.70'. The
/// number is the rejection score ÷ the threshold: up to 1.0 is known, above it is unknown. Each
/// picture is judged by itself; in a video or before a camera, something unknown is one event from
/// when it comes into view until it is gone. At the end there is a summary. Ctrl-C or SIGTERM end
/// it; everything seen until then is kept. SIGHUP reads the configuration again.
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
    let settings = args.settings.clone().over_file(matches, file)?.settings;
    let model = model::load(settings.model.as_deref())?;
    let grey = model.metadata().input.colour == Colour::Grey;
    let source = match &settings.source {
        _ if args.demo => demo::source(),
        Some(source) => Source::open(source, &settings.source_options(grey))?,
        None => {
            let what = "say what to look at: --source with a picture, folder, video or camera, or --demo";
            return Err(UsageError(what.to_string()).into());
        }
    };
    let mut crew = Crew::new(&model, model::threads(settings.threads))?;
    if let Some(threshold) = settings.threshold {
        crew.set_threshold(threshold as f32);
    }

    let (live, pictures) = (source.is_live(), source.is_pictures());
    let rules = Rules {
        regions: settings.region.clone(),
        least_side: settings.min_size,
        watch: (!pictures && !settings.is_triggered()).then(|| settings.watch()),
        cool_down: Duration::from_secs_f64(settings.cool_down),
        // A folder of pictures and a video are looked at whenever that is asked for.
        background: settings.background().filter(|_| !pictures),
        schedule: settings.schedule.clone().filter(|_| live),
        keep_known: settings.keep_known(),
        max_frames: args.max_frames,
        pace: settings.pace(),
    };
    let open = |folder: &Path| {
        EventLog::open(folder, settings.crops.into(), &settings.unit_name(), settings.retention())
    };
    if settings.keep_known().is_some() && settings.events.is_none() {
        let what = "--keep-known keeps samples in the folder of --events, which is not given";
        return Err(UsageError(what.to_string()).into());
    }
    let log = settings.events.as_deref().map(open).transpose()?;
    #[cfg(feature = "gpsd")]
    let log = located(log, settings.gpsd.as_deref())?;
    let annotated = settings.annotate.as_deref().map(AnnotatedFolder::open).transpose()?;
    #[cfg(feature = "mqtt")]
    let (log, sender) = send::beside_a_run(log, &settings, &model)?;
    let recorder = Recorder::start(log, annotated, &model, live)?;
    let companion = companion(&settings)?;
    #[cfg(feature = "gpio")]
    let mut board =
        BoardOutputs::start(&settings.pins(), settings.bus).map_err(|error| UsageError(error.to_string()))?;

    let form = match () {
        () if args.json => Form::Json,
        () if settings.is_triggered() => Form::Verdicts,
        // A camera never ends, and a person sees the status line.
        () if live || !pictures && terminal::is_interactive() => Form::Events,
        () => Form::Verdicts,
    };
    let mut display = Display::new(form, model.metadata(), &settings, pictures, source.frame_count());
    if args.demo {
        display.say(&demo::introduction(model.metadata()))?;
    }
    let stream = settings
        .stream
        .as_deref()
        .map(|path| Stream::listen(path).with_context(|| format!("cannot listen on '{}'", path.display())));
    let stream = stream.transpose()?;
    let mut run = Run::new(crew, model.metadata(), rules, &recorder)?;
    let mut capture = Capture::start(source)?;
    let (changed, changes) = channel();
    run.heed(changes);
    #[cfg(feature = "gpio")]
    if let Some(inputs) = board.inputs() {
        run.only_when(Box::new(move || inputs.wants_frame()));
    }
    let reload = Reload {
        flags: args.settings,
        matches: matches.clone(),
        file: file.map(Path::to_path_buf),
        settings: settings.clone(),
        threshold: model.metadata().threshold.value,
        changed,
    };
    heed_signals(capture.stopper(), reload)?;
    #[cfg(feature = "web")]
    let page = page(&settings, model.metadata(), &mut run)?;
    #[cfg(all(feature = "web", feature = "mqtt"))]
    if let (Some((page, _)), Some(sender)) = (&page, &sender) {
        page.ask(sender.reporter());
    }
    let mut systemd = Systemd::new();
    systemd.ready();

    let classes = &model.metadata().classes;
    let result = run.to_the_end(&mut capture, &mut |happening, tally| {
        #[cfg(feature = "gpio")]
        board.tell(&happening);
        #[cfg(feature = "web")]
        if let Some((page, _)) = &page {
            page.tell(&happening, tally);
        }
        if let (Happening::Judged { region, verdict, background, .. }, Some(companion)) =
            (&happening, &companion)
        {
            let verdict = if *background { &calm(verdict) } else { *verdict };
            companion.verdict(u16::try_from(region.id).unwrap_or(u16::MAX), verdict);
        }
        if let Some(stream) = stream.as_ref().filter(|stream| stream.is_heard())
            && let Some(line) = lines::streamed(&happening, classes)
        {
            stream.send(&line);
        }
        if matches!(happening, Happening::Round) {
            systemd.alive(|| {
                let age = tally.last_frame.map_or("no frame yet".to_string(), |last| {
                    format!("the last frame is {:.1} s old", last.age().as_secs_f64())
                });
                let heat = tally.heat.celsius.map_or(String::new(), |celsius| format!(", {celsius:.0} °C"));
                let slowed: String = tally.heat.now.iter().map(|why| format!(", {why}")).collect();
                format!(
                    "{:.1} frames/s, {age}, {} events, camera lost {} times{heat}{slowed}, judging up to {:.0} % of the time",
                    tally.frames_per_second(),
                    tally.events,
                    tally.losses,
                    tally.pace * 100.0
                )
            });
        }
        display.show(happening, tally)
    });
    systemd.stopping();
    let tally = run.tally;
    let recorded = recorder.finish();
    if let Some(companion) = companion {
        tell_of(&companion.finish());
    }
    #[cfg(feature = "mqtt")]
    if let Some(sender) = sender {
        send::tell_of(&sender.stop());
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

/// What the page shows, and the server that shows it, if there is to be one.
#[cfg(feature = "web")]
fn page(
    settings: &Settings,
    metadata: &Metadata,
    run: &mut Run<'_>,
) -> anyhow::Result<Option<(Arc<serve::Board>, anchorwatch_serve::Server)>> {
    let Some(address) = settings.web else { return Ok(None) };
    let (tries, tried) = channel();
    run.try_thresholds(tried);
    let board = Arc::new(serve::Board::new(&metadata.classes, run.tally.clone(), tries));
    let server =
        serve::start(address, settings.web_token.clone(), board.clone()).map_err(|error| match error {
            serve::PageError::Access(error) => UsageError(format!("--web: {error} (--web-token)")).into(),
            serve::PageError::Serve(error) => anyhow::Error::from(error),
        })?;
    log::warn!("the page is at http://{}/", server.address());
    Ok(Some((board, server)))
}

/// The log with the positions that gpsd tells, if it is to have them.
#[cfg(feature = "gpsd")]
fn located(log: Option<EventLog>, gpsd: Option<&str>) -> anyhow::Result<Option<EventLog>> {
    let Some(address) = gpsd else { return Ok(log) };
    let Some(mut log) = log else {
        return Err(UsageError("--gpsd is for the events of --events, which is not given".to_string()).into());
    };
    let settings = GpsdSettings { address: address.to_string(), ..GpsdSettings::default() };
    log.locate(Locator::start(&settings).map_err(|error| UsageError(format!("--gpsd: {error}")))?);
    Ok(Some(log))
}

/// What it takes to read the configuration again.
struct Reload {
    flags: Settings,
    matches: ArgMatches,
    file: Option<PathBuf>,
    /// What is in effect.
    settings: Settings,
    /// The model's own.
    threshold: f32,
    changed: Sender<Changes>,
}

impl Reload {
    /// A configuration that is wrong changes nothing.
    fn read(&mut self) {
        match self.flags.clone().over_file(&self.matches, self.file.as_deref()) {
            Ok(layers) => self.change(layers.settings),
            Err(error) => log::error!("the configuration stays as it was: {error:#}"),
        }
    }

    fn change(&mut self, settings: Settings) {
        let fixed = settings.fixed_differences(&self.settings).unwrap_or_default();
        if !fixed.is_empty() {
            log::warn!("heeded only after a new start: {}", fixed.join(", "));
        }
        log::info!("the configuration was read again");
        let changes = Changes {
            regions: settings.region.clone(),
            least_side: settings.min_size,
            watch: settings.watch(),
            cool_down: Duration::from_secs_f64(settings.cool_down),
            schedule: settings.schedule.clone(),
            threshold: settings.threshold.map_or(self.threshold, |threshold| threshold as f32),
        };
        // Nobody heeds it any more when the run has ended.
        let _ = self.changed.send(changes);
        self.settings = settings;
    }
}

/// Ctrl-C and SIGTERM end the run, the second time at once; SIGHUP reads the configuration again.
fn heed_signals(stopper: Stopper, mut reload: Reload) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".to_string()).spawn(move || {
        let mut interrupted = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                Systemd::reloading();
                reload.read();
                Systemd::new().ready();
            } else if std::mem::replace(&mut interrupted, true) {
                // The second time, something hangs that should not.
                std::process::exit(1);
            } else {
                stopper.stop();
            }
        }
    })?;
    Ok(())
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
