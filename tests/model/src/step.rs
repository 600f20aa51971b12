//! What somebody may do.

use proptest::prelude::*;

/// One step of a history. People are numbers below [`PEOPLE`](crate::PEOPLE). What else a step is about (a request, a room, a
/// message) is a number of any size: it stands for one of those that there are when its turn comes, whoever's they are, and
/// where there is none the step is nothing.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is named as the operation of the API that it is")]
pub enum Step {
    Ask {
        who: usize,
        whom: usize,
    },
    Accept {
        who: usize,
        request: usize,
    },
    Reject {
        who: usize,
        request: usize,
    },
    Cancel {
        who: usize,
        request: usize,
    },
    Unfriend {
        who: usize,
        whom: usize,
    },
    Block {
        who: usize,
        whom: usize,
    },
    Unblock {
        who: usize,
        whom: usize,
    },
    DirectRoom {
        who: usize,
        whom: usize,
    },
    Group {
        who: usize,
        with: [bool; crate::PEOPLE],
    },
    Rename {
        who: usize,
        room: usize,
    },
    CloseGroup {
        who: usize,
        room: usize,
    },
    Add {
        who: usize,
        room: usize,
        whom: usize,
    },
    Remove {
        who: usize,
        room: usize,
        whom: usize,
    },
    Say {
        who: usize,
        room: usize,
        reply_to: Option<usize>,
    },
    SayAgain {
        who: usize,
        room: usize,
        message: usize,
    },
    Edit {
        who: usize,
        room: usize,
        message: usize,
    },
    Delete {
        who: usize,
        room: usize,
        message: usize,
    },
    React {
        who: usize,
        room: usize,
        message: usize,
        emoji: usize,
    },
    Unreact {
        who: usize,
        room: usize,
        message: usize,
        emoji: usize,
    },
    Read {
        who: usize,
        room: usize,
        message: usize,
    },
    Mute {
        who: usize,
        room: usize,
        on: bool,
    },
    ReadNotifications {
        who: usize,
    },
    /// They begin anew, with another stream and another snapshot.
    Reload {
        who: usize,
    },
    /// Their stream ends, wherever they are with it, and they are away.
    Leave {
        who: usize,
    },
    /// They are back and hear what they have missed. Who is not away loses the stream and is back at once.
    Return {
        who: usize,
    },
}

impl Step {
    /// One that brings people together: without rooms and requests most others are nothing.
    pub fn meeting() -> impl Strategy<Value = Self> {
        let who = || 0..crate::PEOPLE;
        let pair = || (who(), who());
        prop_oneof![
            pair().prop_map(|(who, whom)| Self::Ask { who, whom }),
            pair().prop_map(|(who, whom)| Self::DirectRoom { who, whom }),
            (who(), any::<[bool; crate::PEOPLE]>()).prop_map(|(who, with)| Self::Group { who, with }),
        ]
    }

    /// Any of them; what is done most in real life is done most here.
    pub fn any() -> impl Strategy<Value = Self> {
        let who = || 0..crate::PEOPLE;
        let some = || any::<prop::sample::Index>().prop_map(|index| index.index(1 << 16));
        let pair = || (who(), who());
        let place = || (who(), some());
        let message = || (who(), some(), some());
        prop_oneof![
            3 => pair().prop_map(|(who, whom)| Self::Ask { who, whom }),
            2 => place().prop_map(|(who, request)| Self::Accept { who, request }),
            1 => place().prop_map(|(who, request)| Self::Reject { who, request }),
            1 => place().prop_map(|(who, request)| Self::Cancel { who, request }),
            1 => pair().prop_map(|(who, whom)| Self::Unfriend { who, whom }),
            1 => pair().prop_map(|(who, whom)| Self::Block { who, whom }),
            1 => pair().prop_map(|(who, whom)| Self::Unblock { who, whom }),
            3 => pair().prop_map(|(who, whom)| Self::DirectRoom { who, whom }),
            3 => (who(), any::<[bool; crate::PEOPLE]>()).prop_map(|(who, with)| Self::Group { who, with }),
            1 => place().prop_map(|(who, room)| Self::Rename { who, room }),
            1 => place().prop_map(|(who, room)| Self::CloseGroup { who, room }),
            2 => (who(), some(), who()).prop_map(|(who, room, whom)| Self::Add { who, room, whom }),
            2 => (who(), some(), who()).prop_map(|(who, room, whom)| Self::Remove { who, room, whom }),
            12 => (who(), some(), prop::option::weighted(0.2, some()))
                .prop_map(|(who, room, reply_to)| Self::Say { who, room, reply_to }),
            1 => message().prop_map(|(who, room, message)| Self::SayAgain { who, room, message }),
            3 => message().prop_map(|(who, room, message)| Self::Edit { who, room, message }),
            2 => message().prop_map(|(who, room, message)| Self::Delete { who, room, message }),
            3 => (message(), 0..crate::model::EMOJI.len())
                .prop_map(|((who, room, message), emoji)| Self::React { who, room, message, emoji }),
            2 => (message(), 0..crate::model::EMOJI.len())
                .prop_map(|((who, room, message), emoji)| Self::Unreact { who, room, message, emoji }),
            5 => message().prop_map(|(who, room, message)| Self::Read { who, room, message }),
            1 => (who(), some(), any::<bool>()).prop_map(|(who, room, on)| Self::Mute { who, room, on }),
            1 => who().prop_map(|who| Self::ReadNotifications { who }),
            1 => who().prop_map(|who| Self::Reload { who }),
            2 => who().prop_map(|who| Self::Leave { who }),
            3 => who().prop_map(|who| Self::Return { who }),
        ]
    }
}
