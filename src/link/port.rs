//! The bytes of a serial port or of a socket that stands for one. Reading waits for a given time and
//! no longer; so does writing.

use super::Address;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{ControlModes, OptionalActions, QueueSelector, SpecialCodeIndex};
use rustix::{fs, io::Errno, termios};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a connection may take, and how long a port may take no bytes.
const PATIENCE: Duration = Duration::from_secs(3);

/// An open port.
#[derive(Debug)]
pub struct Port(File);

impl Port {
    /// Opens a port; a serial one at so many baud, 8 bits, no parity, one stop bit, no flow control.
    /// Nobody else can open it until it is dropped.
    ///
    /// # Errors
    /// If there is none, it is in use, or it knows no such speed.
    pub fn open(address: &Address, baud: u32) -> io::Result<Self> {
        let descriptor = match address {
            Address::Tty(path) => tty(path, baud)?,
            Address::Tcp(place) => tcp(place)?.into(),
            Address::Unix(path) => UnixStream::connect(path)?.into(),
        };
        let flags = fs::fcntl_getfl(&descriptor)?;
        fs::fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK)?;
        Ok(Self(descriptor.into()))
    }

    /// Waits until something comes, at most so long; how many bytes there are now, perhaps none.
    ///
    /// # Errors
    /// If the port is gone, or the other end has hung up.
    pub fn read(&mut self, buffer: &mut [u8], wait: Duration) -> io::Result<usize> {
        if !self.wait(PollFlags::IN, wait)? {
            return Ok(0);
        }
        match self.0.read(buffer) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end has hung up")),
            Err(error) if is_temporary(&error) => Ok(0),
            result => result,
        }
    }

    /// Writes all of these bytes.
    ///
    /// # Errors
    /// If the port is gone, or takes nothing for some seconds.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if !self.wait(PollFlags::OUT, PATIENCE)? {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it takes no bytes"));
            }
            match self.0.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_temporary(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait(&self, what: PollFlags, time: Duration) -> io::Result<bool> {
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        match poll(&mut [PollFd::new(&self.0, what)], Some(&time)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn tty(path: &Path, baud: u32) -> io::Result<OwnedFd> {
    // Without NONBLOCK, opening could wait for a modem's carrier.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let descriptor = fs::open(path, flags, Mode::empty())?;
    let mut settings = termios::tcgetattr(descriptor.as_fd()).map_err(|error| match error {
        Errno::NOTTY => io::Error::new(io::ErrorKind::InvalidInput, "it is no serial port"),
        error => error.into(),
    })?;
    // Programs that heed it (all but root's) cannot open it now; those that lock it are asked here.
    termios::ioctl_tiocexcl(&descriptor)?;
    fs::flock(&descriptor, fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| io::Error::from(io::ErrorKind::ResourceBusy))?;
    settings.make_raw();
    settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    settings.control_modes &= !(ControlModes::CSTOPB | ControlModes::CRTSCTS);
    settings.special_codes[SpecialCodeIndex::VMIN] = 0;
    settings.special_codes[SpecialCodeIndex::VTIME] = 0;
    settings.set_speed(baud)?;
    termios::tcsetattr(&descriptor, OptionalActions::Now, &settings)?;
    termios::tcflush(&descriptor, QueueSelector::IOFlush)?; // what came before is nobody's
    Ok(descriptor)
}

fn tcp(place: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no such host");
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
