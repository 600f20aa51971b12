//! A trigger in a process of its own, to be killed: `consumer BROKERS TEST URL BATCH_MAX`. Stops when its input ends.

use std::{io::Write as _, sync::Arc, time::Duration};

use plaza_events::{Clock, KafkaLog, KafkaSettings, Trigger};
use plaza_http::{Proxy, ProxySettings};
use tokio::io::AsyncReadExt as _;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, test, url, batch_max] = arguments.as_slice() else {
        return Err("usage: consumer BROKERS TEST URL BATCH_MAX".into());
    };
    let settings = KafkaSettings { session_timeout: Duration::from_secs(6), ..KafkaSettings::new(brokers) };
    let log = Arc::new(KafkaLog::open(settings, &plaza_test_kafka::topics(test)).await?);
    let mut settings = plaza_test_kafka::trigger_settings(&format!("{test}-group"), test);
    settings.batch_max = batch_max.parse()?;
    let proxy = Arc::new(Proxy::new(url, &ProxySettings::default())?);
    let trigger = Trigger::start(settings, proxy, log.clone(), Clock::system()).await?;
    writeln!(std::io::stdout(), "ready")?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    trigger.stop().await;
    log.close().await;
    Ok(())
}
