//! From a unit home, and what is done with it there: a real mosquitto, a real gpsd, `run --mqtt`, `send`,
//! `collect`, `review`.

#![cfg(target_os = "linux")]

use crate::kept::Event;
use crate::live::{ppm, write_script};
use crate::models;
use crate::pictures::{self, GREY, RED, YELLOW};
use crate::program::{command, events, fail, names, run, succeed, text, wait_for};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NEEDED: &str = "it is needed here: scripts/install-packages.sh tests";

/// A program that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Of Debian's system programs, which are in no user's PATH.
fn system_program(name: &str) -> Command {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let mut command = Command::new("env");
    command
        .arg(format!("PATH={path}"))
        .arg(name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A broker for everybody, which keeps its sessions.
fn mosquitto(folder: &Path, port: u16) -> Ends {
    let file = folder.join("mosquitto.conf");
    let settings = format!(
        "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n",
        text(folder)
    );
    std::fs::write(&file, settings).unwrap();
    let broker = Ends(system_program("mosquitto").arg("-c").arg(&file).spawn().unwrap());
    wait_for(&format!("mosquitto does not listen; {NEEDED}"), || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    broker
}

#[test]
fn what_waited_comes_home_with_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, kept, home, seen) = (models::write(folder.path()), at("kept"), at("home"), at("seen"));
    for number in 0..6 {
        pictures::save(&seen.join(format!("{number}.png")), if number % 2 == 0 { GREY } else { YELLOW });
    }
    let port = free_port();
    let url = format!("mqtt://127.0.0.1:{port}");
    let watch = |more: &[&str]| {
        let arguments = [
            "run",
            "--model",
            text(&model),
            "--source",
            text(&seen),
            "--events",
            text(&kept),
            "--unit",
            "buoy-7",
        ];
        succeed(arguments.iter().chain(more))
    };
    // Without a broker everything is recorded, and waits.
    watch(&["--mqtt", &url]);
    let recorded = events(&kept);
    assert_eq!(recorded.len(), 6);
    let send = [
        "send",
        "--events",
        text(&kept),
        "--unit",
        "buoy-7",
        "--mqtt",
        &url,
        "--mqtt-crops",
        "--mqtt-thumbnail",
        "16",
        "--json",
    ];
    let unreachable = run(send);
    assert!(unreachable.code == 1 && unreachable.stderr.contains("no connection"), "{}", unreachable.stderr);

    // Nobody would get it: it waits.
    let _broker = mosquitto(folder.path(), port);
    let nobody = run(send);
    assert!(nobody.code == 1 && nobody.stderr.contains("subscri"), "{}", nobody.stderr);
    // A collector subscribes, and ends: from now on the broker keeps for it.
    let collect = ["collect", text(&home), "--mqtt", &url, "--client-id", "shore", "--idle", "3", "--json"];
    let collected = |ended: &str| -> Value { serde_json::from_str(ended).unwrap() };
    assert_eq!(collected(&succeed(collect).stdout)["events"], 0);
    let sent = collected(&succeed(send).stdout);
    assert_eq!((&sent["events"], &sent["crops"], &sent["unsent"]), (&6.into(), &6.into(), &0.into()));
    let told = collected(&succeed(collect).stdout);
    assert_eq!((&told["events"], &told["refused"]), (&6.into(), &0.into()), "{told}");
    let come = events(&home);
    let ids = |events: &[Event]| -> Vec<String> { events.iter().map(|event| event.id.clone()).collect() };
    assert_eq!(ids(&come), ids(&recorded));
    for (here, there) in come.iter().zip(&recorded) {
        assert_eq!((&here.unit, &here.logits, here.score), (&there.unit, &there.logits, there.score));
        // The whole picture, byte for byte.
        let bytes =
            |folder: &Path, event: &Event| std::fs::read(folder.join(event.crop.as_ref().unwrap())).unwrap();
        assert_eq!(bytes(&home, here), bytes(&kept, there));
    }
    // Nothing is sent twice; a run sends by itself.
    assert_eq!(collected(&succeed(send).stdout)["events"], 0);
    let mut program = command()
        .args(["run", "--model", text(&model), "--source", "rtsp://camera/stream", "--events", text(&kept)])
        .args(["--unit", "buoy-7", "--mqtt", &url])
        .env("PATH", {
            std::fs::write(at("grey"), ppm(GREY)).unwrap();
            write_script(folder.path(), "while cat grey; do sleep 0.05; done\n")
        })
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Ends)
        .unwrap();
    succeed(collect);
    wait_for("the run's event", || {
        succeed(["collect", text(&home), "--mqtt", &url, "--client-id", "shore", "--idle", "1"]);
        events(&home).len() == 7
    });
    assert!(program.0.try_wait().unwrap().is_none(), "the run goes on");
    // It would send everything twice.
    let refused = fail(1, send);
    let who = format!("by process {} (run --mqtt)", program.0.id());
    assert!(refused.contains("is being sent already") && refused.contains(&who), "{refused}");
    assert!(succeed(["log", text(&home), "verify"]).stdout.contains("7 events, all whole"));
}

#[test]
fn wrong_settings_are_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, picture) = (models::write(folder.path()), pictures::save(&at("grey.png"), GREY));
    let watch = ["run", "--model", text(&model), "--source", text(&picture)];
    let with = |more: &[&str]| fail(2, watch.iter().chain(more));
    assert!(with(&["--mqtt", "mqtt://127.0.0.1"]).contains("--events"));
    assert!(with(&["--mqtt", "http://127.0.0.1", "--events", text(&at("kept"))]).contains("mqtt://"));
    let file = text(&at("no-such-file")).to_string();
    assert!(
        with(&["--mqtt", "mqtts://h", "--mqtt-ca", &file, "--events", text(&at("kept"))]).contains(&file)
    );
    assert!(with(&["--gpsd", "127.0.0.1:1"]).contains("--events"));
    assert!(with(&["--gpsd=host:gps", "--events", text(&at("kept"))]).contains("HOST:PORT"));
    assert!(fail(2, ["send", "--mqtt", "mqtt://127.0.0.1"]).contains("--events"));
    assert!(
        fail(1, ["send", "--mqtt", "mqtt://127.0.0.1", "--events", text(&at("nothing"))])
            .contains("no field log")
    );
    assert!(names(folder.path()).iter().all(|name| name != "nothing"));
}

/// A sentence of a receiver: with its checksum.
fn sentence(body: &str) -> String {
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{sum:02X}\r\n")
}

#[test]
fn events_say_where_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, kept, port) = (models::write(folder.path()), at("kept"), free_port());
    // A receiver that sends its sentences over UDP.
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _gpsd = Ends(
        system_program("gpsd")
            .args(["-N", "-n", "-S", &port.to_string(), &format!("udp://127.0.0.1:{udp}")])
            .spawn()
            .unwrap(),
    );
    wait_for(&format!("gpsd does not listen; {NEEDED}"), || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC);
                let (day, time) = (now.strftime("%d%m%y"), now.strftime("%H%M%S.00"));
                // 54° 19.5' north, 10° 8.25' east.
                let rmc = sentence(&format!("GPRMC,{time},A,5419.5000,N,01008.2500,E,0.0,0.0,{day},,,A"));
                let gga =
                    sentence(&format!("GPGGA,{time},5419.5000,N,01008.2500,E,1,08,1.0,12.0,M,40.0,M,,"));
                let _ = receiver.send_to(format!("{gga}{rmc}").as_bytes(), ("127.0.0.1", udp));
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        std::fs::write(at("red"), ppm(RED)).unwrap();
        std::fs::write(at("grey"), ppm(GREY)).unwrap();
        // Known things at first, while the fix is awaited; then unknown ones now and then.
        let script = "while :; do for n in 1 2 3 4 5 6 7 8; do cat red || exit; sleep 0.05; done; for n in 1 2 3 4 5 6 7 8; do cat grey || exit; sleep 0.05; done; done\n";
        let path = write_script(folder.path(), script);
        let program = command()
            .args([
                "run",
                "--model",
                text(&model),
                "--source",
                "rtsp://camera/stream",
                "--events",
                text(&kept),
            ])
            .args(["--gpsd", &format!("127.0.0.1:{port}")])
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Ends)
            .unwrap();
        let located = || -> Vec<Value> {
            let lines = run(["log", text(&kept), "--export", "jsonl"]).stdout;
            lines
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).unwrap().get("position").cloned())
                .collect()
        };
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("an event with a position", || !located().is_empty())
        }));
        done.store(true, Ordering::Relaxed);
        found.unwrap();
        let position = &located()[0];
        assert!((position["latitude"].as_f64().unwrap() - 54.325).abs() < 1e-4, "{position}");
        assert!((position["longitude"].as_f64().unwrap() - 10.1375).abs() < 1e-4, "{position}");
        drop(program);
    });
}

#[test]
fn a_log_is_looked_through_on_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (model, kept) = (models::write(folder.path()), at("kept"));
    pictures::save(&at("seen/grey.png"), GREY);
    pictures::save(&at("seen/yellow.png"), YELLOW);
    succeed(["run", "--model", text(&model), "--source", text(&at("seen")), "--events", text(&kept)]);
    let arguments = ["review", text(&kept), "--model", text(&model), "--web", "127.0.0.1:0"];
    let mut review =
        Ends(command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(review.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("2 things; "), "{line}");
    let address = line.trim_end().rsplit("http://").next().unwrap().trim_end_matches('/').to_string();
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("<html"), "{answer}");
    assert!(fail(1, ["review", text(&at("seen"))]).contains("no field log"));
    assert!(fail(2, ["review", text(&kept), "--web", "0.0.0.0:0"]).contains("--web-token"));
}
