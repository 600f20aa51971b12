//! What is still to be done after the answers: events that wait in outboxes, and records that consumers have not had.

use std::time::{Duration, Instant};

use plaza_test_support::Client;

/// How long a backlog may take to go away.
const DRAIN_DEADLINE: Duration = Duration::from_mins(5);

/// How often it is looked at meanwhile.
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// The gauges that add up to it.
const GAUGES: [&str; 2] = ["plaza_outbox_depth", "plaza_trigger_lag"];

/// A backlog when the load ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backlog {
    /// Events and records.
    pub(crate) records: f64,
    /// Until there was none.
    pub(crate) gone_after: Duration,
}

/// Waits until nothing is left to be done, so that the next run starts like the first.
pub(crate) async fn drain(client: &Client) -> Result<Backlog, String> {
    let started = Instant::now();
    let records = read(client).await?;
    let mut left = records;
    while left > 0.0 {
        if started.elapsed() > DRAIN_DEADLINE {
            return Err(format!("{left} of {records} events are still waiting after {DRAIN_DEADLINE:?}"));
        }
        tokio::time::sleep(PROBE_PAUSE).await;
        left = read(client).await?;
    }
    Ok(Backlog { records, gone_after: started.elapsed() })
}

async fn read(client: &Client) -> Result<f64, String> {
    let answer = client.get("/metrics").send().await.map_err(|lost| lost.to_string())?;
    sum(&String::from_utf8_lossy(&answer.body))
}

/// The sum over all series of the gauges in a text of Prometheus' format.
fn sum(text: &str) -> Result<f64, String> {
    let series = |line: &&str| GAUGES.iter().any(|gauge| line.split(['{', ' ']).next() == Some(gauge));
    let mut values = text.lines().filter(series).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    // None at all would read as "nothing left".
    let first = values.next().ok_or_else(|| format!("/metrics has none of {GAUGES:?}"))?;
    Ok(values.fold(first, |sum, value| sum + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauges_add_up_and_may_not_be_missing() {
        let text = "# TYPE plaza_outbox_depth gauge\nplaza_outbox_depth{context=\"chat\"} 3\n\
                    plaza_outbox_depth_max 100\nplaza_trigger_lag{group=\"g\",topic=\"t\"} 4\nplaza_trigger_lag 1\n";
        assert_eq!(sum(text).map(f64::to_bits), Ok(8.0_f64.to_bits()));
        assert!(sum("plaza_streams 0\n").is_err());
    }
}
