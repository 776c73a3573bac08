//! A small HTTP server for a robot: who may ask ([`Access`]), what a client may cost ([`Limits`]), and a
//! thread that serves ([`Server`]). What is answered is the caller's: a function from a request to an
//! answer. No path of a request ever reaches the file system.

mod access;
mod server;

pub use access::{Access, AccessError};
pub use hyper::Method;
pub use server::{Answer, Limits, ServeError, Server};
