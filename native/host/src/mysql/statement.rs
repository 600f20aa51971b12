//! What a statement leaves behind in its session.

/// Statements, by what they mean for the connection that they run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    AutocommitOff,
    AutocommitOn,
    Commit,
    /// Changes rows, and nothing of the session.
    Change,
    /// Changes nothing but the transaction it is in.
    Plain,
    /// May change the session: variables, locks, temporary tables, the current database.
    Other,
}

impl Kind {
    pub(super) fn of(statement: &str) -> Self {
        let statement = statement.trim_matches(|c: char| c.is_ascii_whitespace() || c == ';');
        let word = statement.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        let is = |keyword| word.eq_ignore_ascii_case(keyword);
        if is("SELECT") || is("WITH") {
            return if touches_session(statement) { Self::Other } else { Self::Plain };
        }
        if is("INSERT") || is("UPDATE") || is("DELETE") || is("REPLACE") {
            return if touches_session(statement) { Self::Other } else { Self::Change };
        }
        if is("SET") {
            return Self::of_set(statement);
        }
        let whole = |keyword| statement.eq_ignore_ascii_case(keyword);
        if whole("COMMIT") {
            Self::Commit
        } else if whole("ROLLBACK") || whole("BEGIN") || whole("START TRANSACTION") {
            Self::Plain
        } else {
            Self::Other
        }
    }

    fn of_set(statement: &str) -> Self {
        let compact: String = statement.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if compact.eq_ignore_ascii_case("SETautocommit=0") {
            Self::AutocommitOff
        } else if compact.eq_ignore_ascii_case("SETautocommit=1") {
            Self::AutocommitOn
        } else {
            Self::Other
        }
    }
}

/// Whether a statement on rows may do something to its session besides: set a variable, take a lock by name. It may say so
/// of one that does not, which then costs a reset.
fn touches_session(statement: &str) -> bool {
    const LOCK: &[u8] = b"lock(";
    let bytes = statement.as_bytes();
    bytes.contains(&b'@') || bytes.windows(LOCK.len()).any(|window| window.eq_ignore_ascii_case(LOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements() {
        for (statement, kind) in [
            ("SET autocommit=0", Kind::AutocommitOff),
            (" set AUTOCOMMIT = 0 ;", Kind::AutocommitOff),
            ("SET autocommit=1", Kind::AutocommitOn),
            ("SET autocommit=0, sql_mode=''", Kind::Other),
            ("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", Kind::Other),
            ("COMMIT", Kind::Commit),
            ("commit;", Kind::Commit),
            ("COMMIT AND CHAIN", Kind::Other),
            ("ROLLBACK", Kind::Plain),
            ("\n  SELECT 1", Kind::Plain),
            ("SELECT a FROM b WHERE c = ? FOR UPDATE", Kind::Plain),
            ("SELECT @a := 1", Kind::Other),
            ("SELECT 1 INTO @a", Kind::Other),
            ("SELECT GET_LOCK('a', 1)", Kind::Other),
            ("WITH x AS (SELECT 1) SELECT * FROM x", Kind::Plain),
            ("INSERT INTO a VALUES (?)", Kind::Change),
            ("update a SET b = ?", Kind::Change),
            ("UPDATE a SET b = @c", Kind::Other),
            ("CREATE TEMPORARY TABLE a (b INT)", Kind::Other),
            ("/* x */ SELECT 1", Kind::Other),
            ("USE other", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(Kind::of(statement), kind, "{statement}");
        }
    }
}
