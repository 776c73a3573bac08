//! One connection to a broker, from the moment it is accepted until it breaks. Each connection begins
//! with nothing: what the last one had not finished is taken from the store, or comes from the broker again.

use crate::MqttError;
use crate::broker::Broker;
use crate::classify::classify;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter, Packet, PubAckReason, Publish, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages that wait to be acknowledged at once, at most; a broker may want fewer.
pub(crate) const WINDOW: u16 = 16;
/// Requests between us and the client library: messages and acknowledgements.
const REQUESTS: usize = 256;

/// What happens on a connection.
#[derive(Debug)]
pub(crate) enum Seen {
    /// The next message that was handed over has this number.
    Published(u16),
    /// The broker has answered a message.
    Acknowledged(u16, PubAckReason),
    /// The broker has answered a subscription: why it refuses, if it does.
    Subscribed(Option<String>),
    /// A message came.
    Came(Publish),
    /// The connection is gone.
    Lost(MqttError),
}

/// What the broker can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Messages at once.
    pub(crate) window: usize,
    /// Bytes of a packet.
    pub(crate) packet: usize,
}

/// A connection that the broker has accepted.
pub(crate) struct Connection {
    client: AsyncClient,
    seen: mpsc::UnboundedReceiver<Seen>,
    pump: JoinHandle<()>,
    pub(crate) limits: Limits,
}

impl Connection {
    /// Connects, once.
    ///
    /// # Errors
    /// If the broker cannot be reached or does not accept this client.
    pub(crate) async fn open(broker: &Broker) -> Result<Self, MqttError> {
        let mut options = broker.options.clone();
        options.set_outgoing_inflight_upper_limit(2 * WINDOW);
        let (client, mut event_loop) = AsyncClient::new(options, REQUESTS);
        let limits = loop {
            match event_loop.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(accepted))) => {
                    let properties = accepted.properties.as_ref();
                    let window = properties.and_then(|known| known.receive_max).unwrap_or(WINDOW);
                    let packet = properties.and_then(|known| known.max_packet_size);
                    break Limits {
                        window: usize::from(window.clamp(1, WINDOW)),
                        packet: packet.map_or(usize::MAX, |bytes| bytes as usize),
                    };
                }
                Ok(_) => {}
                Err(error) => return Err(classify(error, &broker.address, false)),
            }
        };
        let (report, seen) = mpsc::unbounded_channel();
        let address = broker.address.clone();
        let pump = tokio::spawn(async move {
            let error = pump(&mut event_loop, &report).await;
            // Nobody listens any more when the connection is being closed.
            let _ = report.send(Seen::Lost(classify(error, &address, true)));
        });
        Ok(Self { client, seen, pump, limits })
    }

    /// Hands a message over; [`Seen::Published`] gives its number, in the order of these calls.
    pub(crate) async fn publish(&self, topic: &str, retain: bool, kind: &str, payload: Vec<u8>) {
        let text = kind == "application/json";
        let properties = PublishProperties {
            payload_format_indicator: text.then_some(1),
            content_type: Some(kind.to_string()),
            ..PublishProperties::default()
        };
        let at_least_once = QoS::AtLeastOnce;
        let handed =
            self.client.publish_with_properties(topic, at_least_once, retain, payload, properties).await;
        if handed.is_err() {
            log::debug!("the connection is gone"); // the pump says why
        }
    }

    /// Subscribes; the answers are one [`Seen::Subscribed`].
    pub(crate) async fn subscribe(&self, filters: &[String]) {
        let filters = filters.iter().map(|filter| Filter::new(filter, QoS::AtLeastOnce));
        if self.client.subscribe_many(filters).await.is_err() {
            log::debug!("the connection is gone");
        }
    }

    /// Tells the broker that a message was kept.
    pub(crate) async fn acknowledge(&self, message: &Publish) {
        if self.client.ack(message).await.is_err() {
            log::debug!("the connection is gone");
        }
    }

    /// What happens next.
    pub(crate) async fn next(&mut self) -> Seen {
        // The pump always says why it ends; this is for one that was aborted.
        let gone = || Seen::Lost(MqttError::Lost { address: String::new(), reason: "closed".to_string() });
        self.seen.recv().await.unwrap_or_else(gone)
    }

    /// What has happened already.
    pub(crate) fn already(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }

    /// Says goodbye: the broker then does not send the last will.
    pub(crate) async fn close(mut self) {
        if self.client.disconnect().await.is_ok() {
            // The broker closes the connection when it has read this.
            let closed = async { while !matches!(self.next().await, Seen::Lost(_)) {} };
            let _ = tokio::time::timeout(Duration::from_secs(2), closed).await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Keeps the connection going until it breaks, and tells what happens.
async fn pump(event_loop: &mut EventLoop, report: &mpsc::UnboundedSender<Seen>) -> ConnectionError {
    loop {
        match event_loop.poll().await {
            Ok(event) => {
                if report_event(event, report).is_none() {
                    return ConnectionError::RequestsDone;
                }
            }
            Err(error) => {
                // What came just before: mosquitto answers why it refuses a message, and hangs up.
                for event in std::mem::take(&mut event_loop.state.events) {
                    report_event(event, report);
                }
                return error;
            }
        }
    }
}

/// `None` if nobody listens.
fn report_event(event: Event, report: &mpsc::UnboundedSender<Seen>) -> Option<()> {
    let seen = match event {
        Event::Outgoing(Outgoing::Publish(number)) => Seen::Published(number),
        Event::Incoming(Packet::PubAck(answer)) => Seen::Acknowledged(answer.pkid, answer.reason),
        Event::Incoming(Packet::Publish(message)) => Seen::Came(message),
        Event::Incoming(Packet::SubAck(answer)) => {
            let refused =
                answer.return_codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
            Seen::Subscribed(refused.map(|code| format!("{code:?}")))
        }
        _ => return Some(()),
    };
    report.send(seen).ok()
}
