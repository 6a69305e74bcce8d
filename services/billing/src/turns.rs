//! Whose simulation it is: a few at once, because each may keep a core busy, and so much text in memory, because each may be
//! long. A text that is still arriving takes room for what has come of it and nobody's turn.

use axum::body::Body;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use talea_domain::error::FieldError;
use talea_domain::simulation::MAX_DOCUMENT_BYTES;
use talea_platform::http::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Simulations at once: a core each on a small machine.
const TURNS: usize = 2;
/// Text in memory, in bytes, over all that arrive, wait or are worked on.
const ROOM: usize = 4 * MAX_DOCUMENT_BYTES;
/// A text that takes longer to arrive gives its room back.
const PATIENCE: Duration = Duration::from_secs(60);
/// When it may be tried again where there is no room.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Turns {
    turns: Arc<Semaphore>,
    room: Arc<Semaphore>,
    patience: Duration,
}

/// A whole text, and the room that it takes.
pub struct Text {
    text: String,
    _room: Option<OwnedSemaphorePermit>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(TURNS)), room: Arc::new(Semaphore::new(ROOM)), patience: PATIENCE }
    }
}

impl Turns {
    /// Reads a body. One that is too slow, too long, or finds no room is refused.
    pub async fn read(&self, body: Body) -> Result<Text, Problem> {
        let slow = |_| {
            Problem::unprocessable("the body did not arrive in time; send it again over a faster line, or split it")
        };
        timeout(self.patience, self.collect(body)).await.map_err(slow)?
    }

    async fn collect(&self, body: Body) -> Result<Text, Problem> {
        let mut parts = body.into_data_stream();
        let (mut bytes, mut taken): (Vec<u8>, Option<OwnedSemaphorePermit>) = (Vec::new(), None);
        while let Some(part) = parts.next().await {
            let part = part.map_err(|_| Problem::unprocessable("the body ended early; send it again"))?;
            if bytes.len() + part.len() > MAX_DOCUMENT_BYTES {
                let detail = format!("send at most {MAX_DOCUMENT_BYTES} bytes; split the document by tenant");
                return Err(Problem::too_large(detail));
            }
            // A part is far below 4 GiB: the whole text is.
            let room = Arc::clone(&self.room).try_acquire_many_owned(part.len() as u32).map_err(|_| {
                Problem::too_many("other simulations take all the room there is; try again", RETRY_AFTER)
            })?;
            match &mut taken {
                Some(taken) => taken.merge(room),
                None => taken = Some(room),
            }
            bytes.extend_from_slice(&part);
        }
        let not_text = |_| FieldError::new("", "is not UTF-8", "send one JSON document in UTF-8");
        Ok(Text { text: String::from_utf8(bytes).map_err(not_text)?, _room: taken })
    }

    /// Works on a text when it is its turn. Work whose caller hung up runs to its end, within its bounds, and keeps its turn
    /// and its room until then. A long one does not hold up other requests.
    pub async fn work<T: Send + 'static>(
        &self,
        text: Text,
        work: impl FnOnce(&str) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(Problem::internal)?;
        let worked = tokio::task::spawn_blocking(move || {
            let worked = work(&text.text);
            drop((text, turn));
            worked
        });
        worked.await.map_err(Problem::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use futures::stream;
    use std::convert::Infallible;
    use std::sync::mpsc;

    /// A body that sends something and then nothing for ever.
    fn stuck() -> Body {
        let some = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        Body::from_stream(some.chain(stream::pending()))
    }

    fn text(text: &str) -> Text {
        Text { text: text.to_owned(), _room: None }
    }

    /// Work that says that it has begun and waits until it is told to end.
    fn held(begun: mpsc::Sender<()>, end: mpsc::Receiver<()>) -> impl FnOnce(&str) + Send + 'static {
        move |_| {
            begun.send(()).expect("somebody waits");
            let _ = end.recv();
        }
    }

    async fn until(condition: impl Fn() -> bool) {
        let reached = async {
            while !condition() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), reached).await.expect("it comes");
    }

    #[tokio::test]
    async fn slow_bodies_take_nobodys_turn() {
        let turns = Turns::default();
        let mut stuck: Vec<_> = (0..2 * TURNS).map(|_| Box::pin(turns.read(stuck()))).collect();
        for read in &mut stuck {
            assert!(futures::poll!(read.as_mut()).is_pending());
        }
        assert_eq!(turns.room.available_permits(), ROOM - 2 * TURNS);
        let read = turns.read(Body::from("{}")).await.expect("it is read");
        assert_eq!(turns.work(read, str::len).await.expect("it has a turn"), 2);
        drop(stuck);
        assert_eq!(turns.room.available_permits(), ROOM);
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_gives_its_room_back() {
        let turns = Turns { patience: Duration::ZERO, ..Turns::default() };
        let Err(problem) = turns.read(stuck()).await else { panic!("it never arrives") };
        assert!(problem.detail.expect("a reason").contains("did not arrive in time"));
        assert_eq!(turns.room.available_permits(), ROOM);
    }

    #[tokio::test]
    async fn where_no_room_is_left_a_body_is_sent_away() {
        let turns = Turns::default();
        let _all = Arc::clone(&turns.room).acquire_many_owned(ROOM as u32).await.expect("it is free");
        let Err(problem) = turns.read(Body::from("{}")).await else { panic!("there is no room") };
        assert_eq!(problem.status, 429);
    }

    #[tokio::test]
    async fn a_dropped_request_keeps_its_turn_until_its_work_has_ended() {
        let turns = Turns::default();
        let (begun, has_begun) = mpsc::channel();
        let mut ends = Vec::new();
        for _ in 0..TURNS {
            let (end, ended) = mpsc::channel();
            ends.push(end);
            let mut request = Box::pin(turns.work(text("{}"), held(begun.clone(), ended)));
            assert!(futures::poll!(request.as_mut()).is_pending());
            drop(request);
        }
        for _ in 0..TURNS {
            has_begun.recv_timeout(Duration::from_secs(30)).expect("it has begun");
        }
        assert_eq!(turns.turns.available_permits(), 0);
        let mut next = Box::pin(turns.work(text("{}"), str::len));
        assert!(futures::poll!(next.as_mut()).is_pending(), "two at a time");
        ends.pop().expect("one of them").send(()).expect("it waits");
        assert_eq!(next.await.expect("its turn came"), 2);
        drop(ends);
        until(|| turns.turns.available_permits() == TURNS).await;
    }
}
