//! What is no gpsd, or one that has fallen silent.

use anchorwatch_position::{GpsdSettings, Locator};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const VERSION: &str = r#"{"class":"VERSION","release":"3.25","rev":"3.25","proto_major":3,"proto_minor":15}"#;
const FIX: &str = r#"{"class":"TPV","mode":3,"lat":1.5,"lon":2.5,"altHAE":3.5}"#;

fn listen(patience: f64) -> (TcpListener, Locator) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let settings = GpsdSettings { address, patience, ..GpsdSettings::default() };
    (listener, Locator::start(&settings).unwrap())
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Until the other side has hung up.
fn drain(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest); // a reset is an end too
}

#[test]
fn a_silent_gpsd_is_asked_once_and_then_left() {
    let (listener, locator) = listen(0.2);
    let mut stream = accept(&listener);
    writeln!(stream, "{VERSION}\r\n{FIX}\r").unwrap();
    let mut asked = BufReader::new(&stream).lines().map_while(Result::ok).filter(|line| !line.is_empty());
    for _ in 0..2 {
        assert_eq!(asked.next().unwrap(), r#"?WATCH={"enable":true,"json":true};"#);
    }
    assert_eq!(asked.next(), None, "it hangs up");
    let _second = accept(&listener);
    let status = locator.status();
    assert!(status.trouble.unwrap().contains("does not answer any more"));
    // What gpsd said is as good as it was.
    assert_eq!(locator.position().unwrap().altitude, Some(3.5));
}

#[test]
fn who_sends_anything_else_is_no_gpsd() {
    let endless = "x".repeat(100_000);
    for said in ["HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\0\n", FIX, &endless] {
        let (listener, locator) = listen(60.0);
        let mut stream = accept(&listener);
        let _ = writeln!(stream, "{said}"); // it may hang up before the end
        drain(&mut stream);
        let _again = accept(&listener);
        let trouble = locator.status().trouble.unwrap();
        assert!(trouble.contains("is no gpsd") || said.len() > 90_000, "{trouble}");
        assert_eq!(locator.position(), None);
    }
}

#[test]
fn garbage_between_reports_is_passed_over() {
    let (listener, locator) = listen(60.0);
    let mut stream = accept(&listener);
    writeln!(stream, "{VERSION}").unwrap();
    stream.write_all(b"\xff\xfe{\"class\":\n{\"class\":\"TPV\",\"mode\":{}}\n\n").unwrap();
    // In pieces, as a network may bring it.
    for piece in [&FIX[..20], &FIX[20..], "\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    while locator.position().is_none() {
        assert!(locator.status().trouble.is_none(), "{:?}", locator.status());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(locator.position().unwrap().latitude, 1.5);
}

#[test]
fn an_old_gpsd_is_told_so() {
    let (listener, locator) = listen(60.0);
    let mut stream = accept(&listener);
    writeln!(stream, "{}", VERSION.replace(r#""proto_major":3"#, r#""proto_major":2"#)).unwrap();
    drain(&mut stream);
    let _again = accept(&listener);
    assert!(locator.status().trouble.unwrap().contains("gpsd 3.25 is too old"));
}

#[test]
fn a_locator_that_is_dropped_hangs_up() {
    let (listener, locator) = listen(60.0);
    let mut stream = accept(&listener);
    writeln!(stream, "{VERSION}").unwrap();
    while !locator.status().connected {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(locator);
    drain(&mut stream);
}
