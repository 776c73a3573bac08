//! The server over TCP: who is let in, and what clients that misbehave do to the others.

use anchorwatch_serve::{Access, AccessError, Answer, Limits, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TOKEN: &str = "0123456789abcdef";

fn server(token: Option<&str>) -> Server {
    let address = "127.0.0.1:0".parse().unwrap();
    let access = Access::new(address, token.map(str::to_string)).unwrap();
    let limits = Limits { request: Duration::from_secs(2), ..Limits::default() };
    Server::start(address, access, limits, |_, path, body| match path {
        "/" => Answer { status: 200, kind: "text/plain", body: [b"page ", body].concat() },
        _ => Answer { status: 404, kind: "text/plain", body: Vec::new() },
    })
    .unwrap()
}

/// The whole answer; the connection is closed after it.
fn ask(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The server may answer, and close, before it has read everything.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(server: &Server, path: &str, headers: &str) -> String {
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"))
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
}

#[test]
fn the_network_needs_a_token() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(Access::new(everywhere, None), Err(AccessError::NoToken(_))));
    assert!(matches!(Access::new(everywhere, Some("short".into())), Err(AccessError::BadToken)));
    assert!(Access::new(everywhere, Some(TOKEN.into())).is_ok());
}

#[test]
fn a_token_opens_by_header_and_cookie() {
    let server = server(Some(TOKEN));
    assert_status(&get(&server, "/", ""), 401);
    assert_status(&get(&server, "/", "Authorization: Bearer 0123456789abcdeX\r\n"), 401);
    assert_status(&get(&server, "/", &format!("Authorization: Bearer {TOKEN}\r\n")), 200);
    let answer = get(&server, &format!("/?token={TOKEN}"), "");
    assert_status(&answer, 303);
    assert!(answer.contains("HttpOnly; SameSite=Strict"), "{answer}");
    assert_status(&get(&server, "/", &format!("Cookie: a=b; anchorwatch={TOKEN}\r\n")), 200);
}

#[test]
fn foreign_names_and_pages_are_refused() {
    let server = server(None);
    let foreign = "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_status(&ask(&server, foreign), 421);
    let post = |origin: &str| {
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n";
        ask(&server, &format!("{head}{origin}\r\nhi"))
    };
    assert_status(&post(""), 403);
    assert_status(&post("Origin: http://evil.example\r\n"), 403);
    let answer = post("Origin: http://localhost\r\n");
    assert_status(&answer, 200);
    assert!(answer.ends_with("page hi") && answer.contains("default-src 'none'"), "{answer}");
}

#[test]
fn what_is_too_large_or_elsewhere_is_refused() {
    let server = server(None);
    assert_status(&get(&server, "/../../etc/passwd", ""), 404);
    assert_status(&get(&server, "/%2e%2e/etc/passwd", ""), 404);
    assert_status(&get(&server, "/", &format!("X: {}\r\n", "x".repeat(40_000))), 431);
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\n";
    assert_status(&ask(&server, &format!("{head}Content-Length: 5000\r\n\r\n{}", "x".repeat(5000))), 413);
    // A body that never comes.
    assert_status(&ask(&server, &format!("{head}Content-Length: 9\r\n\r\n")), 408);
}

#[test]
fn five_hundred_idle_connections_do_no_harm() {
    let server = server(None);
    let idle: Vec<_> = (0..500).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    assert_status(&get(&server, "/", ""), 200);
    // Each is closed when no request came for so long.
    for mut stream in idle {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        assert!(stream.read_to_end(&mut Vec::new()).is_ok());
    }
}

/// Who asks for much and reads nothing keeps nobody waiting, and loses the connection in the end.
#[test]
fn a_slow_reader_does_no_harm() {
    const MANY: usize = 64 << 20; // more than the system takes in for a connection
    let address = "127.0.0.1:0".parse().unwrap();
    let limits = Limits { connection: Duration::from_secs(2), ..Limits::default() };
    let server = Server::start(address, Access::new(address, None).unwrap(), limits, |_, path, _| Answer {
        status: 200,
        kind: "text/plain",
        body: if path == "/much" { vec![b'x'; MANY] } else { b"here\n".to_vec() },
    })
    .unwrap();
    let slow: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            let head = format!("GET /much HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        assert!(get(&server, "/", "").ends_with("here\n"));
    }
    std::thread::sleep(2 * limits.connection);
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut got = Vec::new();
        // Closed in the middle: an end, or a reset.
        let _ = stream.read_to_end(&mut got);
        assert!(got.len() < MANY, "it got everything, {} bytes", got.len());
    }
}
