//! A connection to a gpsd: its lines, one by one, of bounded length, and whether anybody is there still.

use crate::error::Trouble;
use crate::report::{self, Report};
use gpsd_proto::{ENABLE_WATCH_CMD, PROTO_MAJOR_MIN};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long an address has time to answer.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest line that is read; gpsd's longest has some ten thousand bytes.
const LONGEST_LINE: u64 = 1 << 16;

/// A connection to a gpsd that has said its version and sends its reports.
pub(crate) struct Connection {
    lines: BufReader<TcpStream>,
    /// What has come of the next line.
    line: Vec<u8>,
    address: String,
    /// Whether it was asked if it is there, and has said nothing since.
    asked: bool,
}

impl Connection {
    /// Connects, and asks for reports. After `patience` of silence, gpsd is asked for a sign of life.
    pub(crate) fn open(address: &str, patience: Duration) -> Result<Self, Trouble> {
        let stream = connect(address)?;
        stream.set_read_timeout(Some(patience)).map_err(Trouble::Broken)?;
        stream.set_write_timeout(Some(patience)).map_err(Trouble::Broken)?;
        let lines = BufReader::new(stream);
        let mut connection = Self { lines, line: Vec::new(), address: address.to_string(), asked: false };
        match connection.next()? {
            Report::Version { major, .. } if major >= PROTO_MAJOR_MIN => {}
            Report::Version { release, .. } => return Err(Trouble::Old(release)),
            _ => return Err(Trouble::Stranger(address.to_string())),
        }
        connection.ask().map_err(Trouble::Broken)?;
        Ok(connection)
    }

    /// A second handle, to hang up from another thread.
    pub(crate) fn socket(&self) -> io::Result<TcpStream> {
        self.lines.get_ref().try_clone()
    }

    /// Waits for the next report.
    pub(crate) fn next(&mut self) -> Result<Report, Trouble> {
        loop {
            let room = (LONGEST_LINE + 1).saturating_sub(self.line.len() as u64);
            // What came before an error stays in the line.
            let read = self.lines.by_ref().take(room).read_until(b'\n', &mut self.line);
            match read {
                Ok(_) if self.line.ends_with(b"\n") => {
                    self.asked = false;
                    let report = report::read(self.line.trim_ascii());
                    self.line.clear();
                    return Ok(report);
                }
                Ok(_) if self.line.len() as u64 > LONGEST_LINE => {
                    return Err(Trouble::Stranger(self.address.clone()));
                }
                Ok(_) => return Err(Trouble::Closed),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if self.asked {
                        return Err(Trouble::Silent);
                    }
                    self.ask().map_err(Trouble::Broken)?;
                    self.asked = true;
                }
                Err(error) => return Err(Trouble::Broken(error)),
            }
        }
    }

    /// Asks for reports, which gpsd answers at once, also when it was asked before.
    fn ask(&mut self) -> io::Result<()> {
        self.lines.get_mut().write_all(ENABLE_WATCH_CMD.as_bytes())
    }
}

/// The first of a name's addresses that answers.
fn connect(address: &str) -> Result<TcpStream, Trouble> {
    let name = |source| Trouble::Name { address: address.to_string(), source };
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for place in address.to_socket_addrs().map_err(name)? {
        match TcpStream::connect_timeout(&place, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(Trouble::Refused { address: address.to_string(), source: refused })
}
