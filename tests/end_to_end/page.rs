//! The page of a run, over TCP, as a browser asks for it.

use crate::live::{ppm, write_script};
use crate::models;
use crate::pictures::{GREY, RED};
use crate::program::{command, fail, text};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A run before a stream that shows something unknown, with its page; it ends when dropped.
pub struct Page {
    program: Child,
    pub address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Page {
    /// With these arguments more.
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = models::write(folder.path());
        std::fs::write(folder.path().join("red"), ppm(RED).repeat(3)).unwrap();
        std::fs::write(folder.path().join("grey"), ppm(GREY)).unwrap();
        let path = write_script(folder.path(), "cat red; while cat grey; do sleep 0.02; done\n");
        let mut run = command();
        run.args(["run", "--model", text(&model), "--source", "rtsp://camera/stream"]).env("PATH", path);
        Self::of(run.args(arguments), folder)
    }

    /// The page of this run, which needs this folder.
    pub fn of(run: &mut Command, folder: tempfile::TempDir) -> Self {
        let mut program =
            run.args(["--web", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
        let line = lines.find_map(|line| line.ok().filter(|line| line.contains("the page is at"))).unwrap();
        let address = line.rsplit("http://").next().unwrap().trim_end_matches('/').to_string();
        Self { program, address, _folder: folder }
    }

    /// The program is no more.
    pub fn kill(&mut self) {
        self.program.kill().unwrap();
        self.program.wait().unwrap();
    }

    /// Status line and headers, and the body.
    fn ask(&self, request: &str, body: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (host, length) = (&self.address, body.len());
        let origin = if body.is_empty() { String::new() } else { format!("Origin: http://{host}\r\n") };
        let head = format!(
            "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{origin}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let (head, body) = self.ask(&format!("GET {path}"), "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        body
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&self.get("/status.json")).unwrap()
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "{what}: {status}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

#[test]
fn the_page_shows_what_is_seen_and_a_threshold_can_be_tried() {
    let page = Page::start(&[]);
    let html = String::from_utf8(page.get("/")).unwrap();
    for part in ["/page.js", "/page.css", "viewport"] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("http://") && !html.contains("https://"), "nothing comes from elsewhere");
    page.get("/page.js");
    page.get("/page.css");

    let status = page.wait_for("an event", |status| {
        status["events"][0].is_object() && status["regions"][0]["unknown"] == true
    });
    assert_eq!((&status["healthy"], &status["frame"]["width"]), (&Value::Bool(true), &Value::from(64)));
    assert!(status["history"].as_array().unwrap().len() > 2);
    assert!(status["regions"][0]["relative_score"].as_f64().unwrap() > 1.0);
    // Somebody looks now, so the next frame is kept.
    page.wait_for("a newer frame", |now| now["frame"]["index"] != status["frame"]["index"]);
    let picture = image::load_from_memory(&page.get("/frame.jpg")).unwrap();
    assert_eq!((picture.width(), picture.height()), (64, 48));
    let number = &status["events"][0]["number"];
    image::load_from_memory(&page.get(&format!("/event/{number}.jpg"))).unwrap();

    // With a larger threshold the same thing is known; put back, it is unknown again.
    let configured = status["configured_threshold"].as_f64().unwrap();
    let (head, _) = page.ask("POST /threshold", "1000000");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let tried = page.wait_for("the tried threshold", |status| status["regions"][0]["unknown"] == false);
    assert_eq!(tried["threshold"].as_f64(), Some(1e6));
    page.ask("POST /threshold", "reset");
    let back = page.wait_for("the configured threshold", |status| status["regions"][0]["unknown"] == true);
    assert_eq!(back["threshold"].as_f64(), Some(configured));
    for nonsense in ["-1", "NaN", "", "x"] {
        let (head, _) = page.ask("POST /threshold", &format!("{nonsense} "));
        assert!(head.starts_with("HTTP/1.1 400 "), "{nonsense}: {head}");
    }

    let health = String::from_utf8(page.get("/healthz")).unwrap();
    assert!(health.contains("s old"), "{health}");
    let metrics = String::from_utf8(page.get("/metrics")).unwrap();
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(&format!("anchorwatch_{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {metrics}")).split(' ').nth(1).unwrap().parse().unwrap()
    };
    assert_eq!((value("healthy"), value("events_total")), (1.0, 1.0));
    assert!(value("frames_judged_total") > 2.0 && value("regions_unknown_total") > 0.0);

    for elsewhere in ["GET /../../etc/passwd", "GET /event/999.jpg", "GET /event/x.jpg", "POST /"] {
        let body = if elsewhere.starts_with("POST") { "x" } else { "" };
        let (head, _) = page.ask(elsewhere, body);
        assert!(head.starts_with("HTTP/1.1 404 "), "{elsewhere}: {head}");
    }
}

#[test]
fn the_network_gets_no_page_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::write(folder.path());
    let run = |token: &[&str]| {
        let arguments =
            ["run", "--model", text(&model), "--source", text(folder.path()), "--web", "0.0.0.0:0"];
        fail(2, arguments.iter().chain(token))
    };
    std::fs::write(folder.path().join("a.png"), [0]).unwrap();
    assert!(run(&[]).contains("--web-token"));
    assert!(run(&["--web-token", "short"]).contains("at least 16 characters"));
}
