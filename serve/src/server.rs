//! The thread that serves, and what a client may cost it.

use crate::access::{Access, Entry};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What a client may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; one more is closed at once.
    pub connections: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// How long the headers of a request, and its body, may take.
    pub request: Duration,
    /// How long a connection lasts, whatever it does.
    pub connection: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let seconds = Duration::from_secs;
        Limits { connections: 600, body: 4096, request: seconds(10), connection: seconds(60) }
    }
}

/// What a request is answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status; what is no status is sent as 500.
    pub status: u16,
    /// The content type.
    pub kind: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[error("nothing can be served on {address}: {error}")]
pub struct ServeError {
    address: SocketAddr,
    #[source]
    error: io::Error,
}

type Pages = dyn Fn(&Method, &str, &[u8]) -> Answer + Send + Sync;

/// Serves until it is dropped.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `pages` gets method, path and body, on the server's thread: it must not wait for anything.
    pub fn start(
        address: SocketAddr,
        access: Access,
        limits: Limits,
        pages: impl Fn(&Method, &str, &[u8]) -> Answer + Send + Sync + 'static,
    ) -> Result<Server, ServeError> {
        let failed = |error| ServeError { address, error };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let pages: Arc<Pages> = Arc::new(pages);
        let work = move || {
            runtime.block_on(async {
                let listening = tokio::spawn(listen(listener, Arc::new(access), limits, pages));
                let _ = stopped.await;
                listening.abort();
            });
        };
        let thread = std::thread::Builder::new().name("web".to_string()).spawn(work).map_err(failed)?;
        Ok(Server { address: bound, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens: with port 0, the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the web server's thread panicked");
        }
    }
}

async fn listen(listener: TcpListener, access: Arc<Access>, limits: Limits, pages: Arc<Pages>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!("the web server does not listen: {error}"),
    };
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("a connection was not accepted: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (access, pages) = (access.clone(), pages.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, access.clone(), limits, pages.clone()));
            let serving = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.request)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off, or is too slow, concerns nobody else.
            let _ = timeout(limits.connection, serving).await;
            drop(place);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    access: Arc<Access>,
    limits: Limits,
    pages: Arc<Pages>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let cookie = match access.check(&parts) {
        Entry::Refused(status) => return Ok(plain(status)),
        Entry::SetCookie(cookie) => Some(cookie),
        Entry::Allowed => None,
    };
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        let mut response = plain(StatusCode::SEE_OTHER);
        response.headers_mut().insert(SET_COOKIE, cookie);
        // Always the start page: a path such as //elsewhere would lead away.
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
        return Ok(response);
    }
    let body = match timeout(limits.request, Limited::new(body, limits.body).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE)),
        Err(_) => return Ok(plain(StatusCode::REQUEST_TIMEOUT)),
    };
    let Answer { status, kind, body } = pages(&parts.method, parts.uri.path(), &body);
    Ok(response(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), kind, body))
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", format!("{status}\n").into_bytes())
}

fn response(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
