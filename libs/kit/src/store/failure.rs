//! What a database's error means: whether to ask again, and what the caller is told.
//!
//! Spin hands an error on as a text: SQLite's own message, or for MySQL the client library's, as it stands in its debug or its
//! display form. Both begin with the server's error code, where the server said anything.

use plaza_domain::Problem;
use std::fmt::Display;

/// Why a statement failed, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A unique key holds the value already.
    Duplicate,
    /// Another change was in the way; the database has given up this one.
    InTheWay,
    /// The connection is gone, and with it the change; or there was none to be had.
    Lost,
    /// The database takes no work at present.
    Busy,
    /// Anything else: our fault.
    Fault,
}

/// A failure, and how the database put it.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    cause: String,
}

impl Failed {
    /// From what SQLite says.
    pub(super) fn sqlite(error: &impl Display) -> Self {
        let cause = error.to_string();
        let failure = if cause.contains("UNIQUE constraint failed") {
            Failure::Duplicate
        } else if cause.contains("locked") || cause.contains("busy") {
            Failure::Busy
        } else {
            Failure::Fault
        };
        Self { failure, cause }
    }

    /// From what MySQL or MariaDB says, or the client on its way there.
    pub(super) fn mysql(cause: String) -> Self {
        let failure = match server_code(&cause) {
            // ER_DUP_ENTRY, ER_DUP_ENTRY_WITH_KEY_NAME
            Some(1062 | 1586) => Failure::Duplicate,
            // ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT, ER_CHECKREAD (MariaDB: the row has changed since the snapshot)
            Some(1213 | 1205 | 1020) => Failure::InTheWay,
            // ER_SERVER_SHUTDOWN, ER_QUERY_INTERRUPTED, ER_NET_*, ER_CONNECTION_KILLED, ER_CLIENT_INTERACTION_TIMEOUT
            Some(1053 | 1317 | 1152..=1161 | 1184 | 1927 | 4031) | None => Failure::Lost,
            // ER_CON_COUNT_ERROR, ER_OUT_OF_RESOURCES, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED,
            // ER_OPTION_PREVENTS_STATEMENT (read-only after a failover), ER_READ_ONLY_MODE, ER_UNKNOWN_COM_ERROR (Galera: not
            // a member at present), ER_DISK_FULL, ER_RECORD_FILE_FULL
            Some(1040 | 1041 | 1203 | 1226 | 1290 | 1836 | 1047 | 1021 | 1114) => Failure::Busy,
            Some(_) => Failure::Fault,
        };
        Self { failure, cause }
    }

    /// Whether a text is what the server said, or what the client says of a connection.
    pub(super) fn is_mysqls(cause: &str) -> bool {
        server_code(cause).is_some() || cause.starts_with("Input/output error") || cause.starts_with("Driver error")
    }

    /// Our own fault, found on the way to the database or back.
    pub(super) fn fault(cause: String) -> Self {
        Self { failure: Failure::Fault, cause }
    }

    /// Whether a change that failed so before its end may be made again from its beginning.
    pub(super) fn may_be_made_again(&self) -> bool {
        matches!(self.failure, Failure::Duplicate | Failure::InTheWay | Failure::Lost)
    }

    /// The same of a change that failed when it was committed. Where the connection was lost then, nobody knows whether it
    /// was made.
    pub(super) fn may_be_committed_again(&self) -> bool {
        self.failure == Failure::InTheWay
    }

    /// What the caller is told; the cause goes to the log.
    pub(super) fn problem(&self, statement: &str) -> Problem {
        eprintln!("{statement}: {}", self.cause);
        match self.failure {
            Failure::Duplicate => Problem::conflict("conflict", "Somebody else made a change that excludes this one."),
            Failure::InTheWay | Failure::Busy => Problem::unavailable("The database is busy; nothing was changed."),
            Failure::Lost => Problem::unavailable("The database does not answer; nothing was changed."),
            Failure::Fault => Problem::internal(),
        }
    }

    /// The same at the end of a change.
    pub(super) fn problem_at_commit(&self) -> Problem {
        let problem = self.problem("commit");
        if self.failure == Failure::Lost {
            return Problem::unavailable(
                "The database was lost while it stored the change; whether it is there is not known.",
            );
        }
        problem
    }
}

/// The error code of the server, if it was the server that said something.
fn server_code(cause: &str) -> Option<u16> {
    // `Server(ServerError { code: 1062, message: "…", state: "23000" })`, or `Server error: `ERROR 23000 (1062): …'`. What
    // people wrote may be repeated in the message, which comes after the code: so the first one it is.
    let (debug, display) = (cause.find("ServerError { code: "), cause.find("ERROR "));
    let digits = match (debug, display) {
        (Some(at), other) if other.is_none_or(|other| at < other) => cause[at..].split_once("code: ")?.1,
        (_, Some(at)) => cause[at..].split_once('(')?.1,
        _ => return None,
    };
    let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..length].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_code_is_read_from_both_forms() {
        let debug = |code: u16| format!("Server(ServerError {{ code: {code}, message: \"…\", state: \"…\" }})");
        let display = |code: u16| format!("Server error: `ERROR 40001 ({code}): …'");
        for (code, failure) in [
            (1062, Failure::Duplicate),
            (1213, Failure::InTheWay),
            (1205, Failure::InTheWay),
            (1927, Failure::Lost),
            (1040, Failure::Busy),
            (1064, Failure::Fault),
        ] {
            assert_eq!(Failed::mysql(debug(code)).failure, failure, "{code}");
            assert_eq!(Failed::mysql(display(code)).failure, failure, "{code}");
        }
    }

    #[test]
    fn what_people_wrote_is_not_taken_for_a_code() {
        let entry =
            "Server(ServerError { code: 1062, message: \"Duplicate entry 'ServerError { code: 1213' for key\" })";
        assert_eq!(Failed::mysql(entry.to_owned()).failure, Failure::Duplicate);
        let entry = "Server(ServerError { code: 1406, message: \"… 'ERROR 40001 (1213): x'\" })";
        assert_eq!(Failed::mysql(entry.to_owned()).failure, Failure::Fault);
    }

    #[test]
    fn what_the_server_did_not_say_is_a_lost_connection() {
        for cause in ["Io(Io(Os { code: 32, kind: BrokenPipe, message: \"Broken pipe\" }))", "Driver(ConnectionClosed)"]
        {
            let failed = Failed::mysql(cause.to_owned());
            assert_eq!(failed.failure, Failure::Lost, "{cause}");
            assert!(failed.may_be_made_again() && !failed.may_be_committed_again());
            assert_eq!(failed.problem_at_commit().status, 503);
        }
    }

    #[test]
    fn sqlite_is_understood_by_its_words() {
        for (words, failure) in [
            ("UNIQUE constraint failed: users.email", Failure::Duplicate),
            ("database is locked", Failure::Busy),
            ("no such table: users", Failure::Fault),
        ] {
            assert_eq!(Failed::sqlite(&words).failure, failure);
        }
    }
}
