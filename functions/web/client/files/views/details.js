// What a room is, who is in it, and what can be changed about that.

import * as actions from "../actions.js";
import { dialog, h, refill } from "../dom.js";
import { t } from "../i18n.js";
import { isMuted, nameOf, othersIn, state, subscribe, userOf } from "../state.js";
import { pickFriends } from "./chats.js";
import { actionButton, attempt, avatar, confirmed, field, toggle } from "./parts.js";

export function roomDetails(roomId) {
  const body = h("div", { class: "dialog-body" });
  const box = dialog(t("room_details"), t("close"), body, () => forget());
  const forget = subscribe(draw);
  let drawn = null;

  function draw() {
    const room = state.rooms.get(roomId);
    if (!room) {
      box.close();
      return;
    }
    // Nothing that is being typed is taken away by an event that changes nothing here.
    const people = room.participants.map(({ user_id, username }) => [user_id, nameOf(user_id, username), userOf(user_id)?.profile_image_url]);
    const sign = JSON.stringify([room.name, room.owner_id, people, state.blocked, state.preferences !== null, isMuted(roomId)]);
    if (sign === drawn) return;
    drawn = sign;
    const isOwner = room.owner_id === state.me.id;
    refill(body,
      room.room_type === "group" && renaming(room),
      h("ul", { class: "people", "aria-label": t("people") }, room.participants.map((participant) => person(room, participant, isOwner))),
      state.preferences && toggle(t("mute"), isMuted(roomId), (muted) => actions.mute(roomId, muted)),
      h("div", { class: "buttons" }, room.room_type === "group" ? groupButtons(room, isOwner) : directButtons(room)));
  }

  function renaming(room) {
    const name = field(t("group_name"), { value: room.name ?? "", maxlength: 100, required: true, autocomplete: "off" });
    const submit = h("button", { type: "submit" }, t("rename"));
    const onsubmit = (event) => {
      event.preventDefault();
      if (name.input.value.trim() !== "") attempt(() => actions.rename(roomId, name.input.value.trim()), submit);
    };
    return h("form", { class: "inline", onsubmit }, name.element, submit);
  }

  const person = (room, { user_id, username }, isOwner) => h("li", { class: "person" },
    avatar(userOf(user_id) ?? { id: user_id, username }, { presence: true }),
    h("span", { class: "who" }, h("b", {}, nameOf(user_id, username)),
      h("small", {}, `@${username}${user_id === room.owner_id ? ` · ${t("owner")}` : ""}`)),
    isOwner && user_id !== state.me.id && actionButton(t("remove"), () => actions.removeFromRoom(roomId, user_id)));

  const groupButtons = (room, isOwner) => [
    h("button", { type: "button", onclick: () => add(room) }, t("add_people")),
    actionButton(t("leave"), () => leave(), { class: "danger" }),
    isOwner && actionButton(t("delete_group"), () => remove(), { class: "danger" }),
  ];

  const directButtons = (room) => othersIn(room).map(({ user_id, username }) => (state.blocked?.includes(user_id)
    ? actionButton(t("unblock"), () => actions.unblock(user_id))
    : actionButton(t("block"), async () => {
      if (await confirmed(t("confirm_block", { name: nameOf(user_id, username) }), t("block"))) await actions.block(user_id);
    }, { class: "danger" })));

  function add(room) {
    box.close();
    pickFriends({
      title: t("add_people"), button: t("add_people"), except: room.participants.map((one) => one.user_id), named: false,
      choose: (ids) => actions.addToRoom(roomId, ids),
    });
  }

  async function leave() {
    if (await confirmed(t("confirm_leave"), t("leave"))) await actions.removeFromRoom(roomId, state.me.id);
  }

  async function remove() {
    if (await confirmed(t("confirm_delete_room"), t("delete_group"))) await actions.deleteRoom(roomId);
  }

  const known = state.rooms.get(roomId);
  attempt(() => Promise.all([actions.lookUpIn(known), known.room_type === "direct" && actions.loadPeople()]));
  draw();
}
