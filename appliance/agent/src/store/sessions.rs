//! Sessions that the broker keeps a message of, which has to be emptied when they are over.

use nodi_protocol::SessionId;

use super::{Error, Store};

impl Store {
    /// # Errors
    /// When the database fails.
    pub(crate) async fn told_sessions(&self) -> Result<Vec<SessionId>, Error> {
        self.ask(|db| {
            let mut statement = db.prepare_cached("SELECT session FROM session")?;
            let mut rows = statement.query([])?;
            let mut sessions = Vec::new();
            while let Some(row) = rows.next()? {
                if let Ok(session) = row.get::<_, String>(0)?.parse() {
                    sessions.push(session);
                }
            }
            Ok(sessions)
        })
        .await
    }

    /// To be called before the message is sent.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn tell_session(&self, session: SessionId) -> Result<(), Error> {
        self.ask(move |db| {
            db.prepare_cached("INSERT OR IGNORE INTO session VALUES (?)")?.execute([session.to_string()])?;
            Ok(())
        })
        .await
    }

    /// The broker has emptied it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn forget_session(&self, session: SessionId) -> Result<(), Error> {
        self.ask(move |db| {
            db.prepare_cached("DELETE FROM session WHERE session = ?")?.execute([session.to_string()])?;
            Ok(())
        })
        .await
    }
}
