//! Starts a server again that died, within bounds.

use super::{Error, Server};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// More deaths than this within [`WINDOW`], and the server is given up.
const DEATHS: usize = 5;

const WINDOW: Duration = Duration::from_secs(300);

/// What [`Supervisor::check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The server runs.
    Running,
    /// The server had died and runs again, on the same data and under the same URL; connections have to be made anew.
    Restarted {
        /// How it had ended, and its last words.
        after: String,
    },
}

/// A server that is started again when it dies. Whoever owns it calls [`Supervisor::check`] now and then.
#[derive(Debug)]
pub struct Supervisor {
    server: Server,
    deaths: VecDeque<Instant>,
}

impl Supervisor {
    /// Looks after a server.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            server,
            deaths: VecDeque::new(),
        }
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Starts the server again if it died; returns at once if it runs.
    ///
    /// # Errors
    /// [`Error::KeepsDying`] where it died too often, or what [`Server::restart`] says.
    pub fn check(&mut self) -> Result<State, Error> {
        let Some(status) = self.server.exited() else {
            return Ok(State::Running);
        };
        let after = format!("{status}: {}", self.server.log_tail());
        self.count(Instant::now())?;
        self.server.restart()?;
        Ok(State::Restarted { after })
    }

    /// Stops the server.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub fn stop(self) -> Result<(), Error> {
        self.server.stop()
    }

    fn count(&mut self, now: Instant) -> Result<(), Error> {
        self.deaths
            .retain(|death| now.duration_since(*death) < WINDOW);
        self.deaths.push_back(now);
        if self.deaths.len() <= DEATHS {
            return Ok(());
        }
        Err(Error::KeepsDying {
            times: self.deaths.len(),
            minutes: WINDOW.as_secs() / 60,
            log: self.server.log().to_owned(),
            tail: self.server.log_tail(),
        })
    }
}
