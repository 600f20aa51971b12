//! What the events of other contexts mean for notifications.

use plaza_domain::chat::Message;
use plaza_domain::friend::FriendRequest;
use plaza_domain::id::{RoomId, UserId};
use plaza_domain::notification::{self, Notice};
use plaza_domain::user::{USER_DELETED, User, UserDeleted};
use plaza_kit::Problem;
use plaza_kit::cloudevents::CloudEvent;
use serde::Deserialize;
use std::collections::HashMap;

/// An event that changes what somebody is told of.
pub(crate) enum Telling {
    Request(FriendRequest),
    Acceptance(FriendRequest),
    Cancellation(FriendRequest),
    Message(Box<Message>),
    Correction(Box<Message>),
    Reading(Reading),
    Registration(User),
    Deletion(UserDeleted),
}

/// Somebody has read a room up to a place.
#[derive(Debug, Deserialize)]
pub(crate) struct Reading {
    pub(crate) room_id: RoomId,
    pub(crate) user_id: UserId,
    pub(crate) seq: u64,
}

impl Telling {
    /// What an event tells; nothing where nobody is told of it, now or in a later version of its producer.
    pub(crate) fn of(event: &CloudEvent) -> Result<Option<Self>, Problem> {
        Ok(match event.kind.as_str() {
            // Of a request that the addressee must not know of, only the requester is told: the key is who is told.
            "plaza.friend.FriendRequestSent.v1" => {
                let request: FriendRequest = event.data()?;
                let told = event.key.as_ref().is_none_or(|key| *key == request.addressee_id.to_string());
                told.then_some(Self::Request(request))
            }
            "plaza.friend.FriendRequestAccepted.v1" => Some(Self::Acceptance(event.data()?)),
            "plaza.friend.FriendRequestCancelled.v1" => Some(Self::Cancellation(event.data()?)),
            "plaza.chat.MessageSent.v1" => Some(Self::Message(event.data()?)),
            "plaza.chat.MessageEdited.v1" | "plaza.chat.MessageDeleted.v1" => Some(Self::Correction(event.data()?)),
            "plaza.chat.MessageRead.v1" => Some(Self::Reading(event.data()?)),
            "plaza.user.UserRegistered.v1" => Some(Self::Registration(event.data()?)),
            USER_DELETED => Some(Self::Deletion(event.data()?)),
            _ => None,
        })
    }

    /// The room whose participants must be known.
    pub(crate) fn room(&self) -> Option<RoomId> {
        if let Self::Message(message) | Self::Correction(message) = self { Some(message.room_id) } else { None }
    }

    /// Whom it tells of something.
    pub(crate) fn notices(&self, participants: &HashMap<RoomId, Vec<UserId>>) -> Vec<Notice> {
        match self {
            Self::Request(request) => vec![notification::of_request(request)],
            Self::Acceptance(request) => vec![notification::of_acceptance(request)],
            Self::Message(message) => {
                notification::of_message(message, participants.get(&message.room_id).map_or(&[], Vec::as_slice))
            }
            Self::Registration(user) => vec![notification::of_registration(user)],
            Self::Correction(_) | Self::Cancellation(_) | Self::Reading(_) | Self::Deletion(_) => Vec::new(),
        }
    }

    /// Whose earlier notifications it changes.
    pub(crate) fn reader(&self) -> Option<UserId> {
        match self {
            Self::Cancellation(request) => Some(request.addressee_id),
            Self::Reading(reading) => Some(reading.user_id),
            // Who writes has read what came before.
            Self::Message(message) => Some(message.user_id),
            Self::Deletion(user) => Some(user.user_id),
            Self::Request(_) | Self::Acceptance(_) | Self::Correction(_) | Self::Registration(_) => None,
        }
    }
}
