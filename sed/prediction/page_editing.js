// Corrections: events are accepted, rejected, moved, renamed and added, kept in the browser, and exported.

const milliseconds = t => Math.round(t * 1000) / 1000;
const SHORTEST = 0.01;   // seconds of an event
const NUDGE = 0.02;   // seconds by which a key moves a border

class Kept {   // corrections of this page in the browser; where they cannot be kept, leaving the page asks first
    constructor() {
        let low = 0x811c9dc5, high = 0x1b873593;   // two 32-bit sums (FNV-1a and a variant) of what the page shows: another page has another name
        for (const s of document.querySelectorAll("script[id='about-data'], script[id^='info-'], script[id^='posteriors-']"))
            for (const c of s.textContent) { const p = c.codePointAt(0); low = Math.imul(low ^ p, 0x01000193); high = Math.imul(high ^ p, 0x01000193) ^ low >>> 15; }
        this.prefix = `ast-sed ${(low >>> 0).toString(16)}${(high >>> 0).toString(16)} `;
        this.works = true;
        this.unsaved = false;
        addEventListener("beforeunload", e => { if (this.unsaved && !this.works) e.preventDefault(); });
    }
    read(id) {   // what was kept of a recording; null when there is none, or it is not what `write` writes
        try { const kept = JSON.parse(localStorage.getItem(this.prefix + id)); return kept && Array.isArray(kept.events) ? kept : null; } catch { return null; }
    }
    write(id, value) {
        this.unsaved = true;
        try { localStorage.setItem(this.prefix + id, JSON.stringify(value)); } catch { this.works = false; }
        return this.works;
    }
    forget(id) { try { localStorage.removeItem(this.prefix + id); } catch { this.works = false; } }
}

class Editing {   // the corrections of one recording; an event is [onset, offset, label, score] with its state
    constructor(recording, storage, changed) {
        Object.assign(this, {recording, storage, changed, selected: null, reviewed: false, past: []});
        for (const e of recording.all) e.state = "";
        this.given = this.snapshot();
        recording.editing = this;
        this.build();
        const kept = storage.read(recording.id);
        this.restored = Boolean(kept);
        if (kept) this.restore(kept); else this.refresh();
    }
    // what is kept and what is undone
    snapshot() {
        const r = this.recording;
        return {reviewed: this.reviewed, events: r.all.map(e => [e[0], e[1], r.labels[e[2]], e[3], e.state])};
    }
    restore(kept) {
        const r = this.recording;
        this.reviewed = kept.reviewed;
        r.all = kept.events.map(([onset, offset, label, score, state]) => Object.assign([onset, offset, this.index(label), score], {state}));
        this.selected = null;
        this.sort();
    }
    edit(act) {   // act, so that it can be undone, and keep the result
        const before = this.snapshot();
        act();
        this.past.push(before);
        this.keep();
    }
    keep() {
        this.sort();
        this.storage.write(this.recording.id, this.snapshot());
        this.changed();
    }
    undo() {
        if (!this.past.length) return;
        this.restore(this.past.pop());
        this.keep();
    }
    discard() {
        this.past = [];
        this.restore(this.given);
        this.storage.forget(this.recording.id);
    }
    sort() {
        const r = this.recording;
        r.all.sort((a, b) => a[0] - b[0]);
        for (const e of r.all) this.lane(e[2]);
        this.refresh();
    }
    index(label) {   // its number, a new one for a label that the model does not have
        const labels = this.recording.labels;
        return labels.includes(label) ? labels.indexOf(label) : labels.push(label) - 1;
    }
    lane(label) {   // give it one, if it has none
        const r = this.recording;
        if (r.lane.has(label)) return;
        r.shown.push(label);
        r.shown.sort((a, b) => a - b);
        r.lane = new Map(r.shown.map((k, i) => [k, i]));
    }
    // what a correction does
    select(e) { this.selected = e; this.recording.touched = e[2]; this.refresh(); }
    mark(state) {
        if (this.selected?.state === "added" && state !== "rejected") return;   // it is accepted already
        this.edit(() => {
            const e = this.selected, r = this.recording;
            if (state === "rejected" && e.state === "added") { r.all.splice(r.all.indexOf(e), 1); this.selected = null; }
            else e.state = e.state === state ? "" : state;
        });
    }
    move(side, t) {   // one border of the selected event; the other stays
        const e = this.selected, least = side ? e[0] + SHORTEST : 0, most = side ? this.recording.duration : e[1] - SHORTEST;
        if (!Number.isFinite(t)) return;
        e[side] = milliseconds(clamp(t, least, most));
        if (e.state !== "added") e.state = "changed";
    }
    rename(label) {
        const e = this.selected;
        e[2] = this.index(label);
        if (e.state !== "added") e.state = "changed";
    }
    add() {   // an event of a second at the cursor, of the label that was last chosen
        const r = this.recording, label = r.touched ?? r.shown[0];
        const onset = milliseconds(clamp(r.now(), 0, Math.max(0, r.duration - SHORTEST)));
        const e = Object.assign([onset, milliseconds(Math.min(onset + 1, r.duration)), label, null], {state: "added"});
        this.edit(() => { r.all.push(e); this.selected = e; });
        if (onset < r.begin || onset > r.end) r.look(onset - (r.end - r.begin) / 4);
    }
    review(done) { this.edit(() => { this.reviewed = done; }); }
    key(name) {   // the action of a key, or undefined
        const r = this.recording, e = this.selected, free = {e: () => this.add(), u: () => this.undo(), r: () => this.review(!this.reviewed)};
        const moved = (side, t) => () => this.edit(() => this.move(side, t));
        const ours = e && {
            a: () => this.mark("accepted"), x: () => this.mark("rejected"), Delete: () => this.mark("rejected"), l: () => this.label.focus(),
            "[": moved(0, r.now()), "]": moved(1, r.now()), ",": moved(0, e[0] - NUDGE), ".": moved(0, e[0] + NUDGE), "<": moved(1, e[1] - NUDGE), ">": moved(1, e[1] + NUDGE),
        };
        return free[name] || (ours && ours[name]);
    }
    edge(event) {   // the border of the selected event under a pointer, wider for fingers: 0, 1 or null
        const r = this.recording, e = this.selected;
        if (!e || !r.events.includes(e)) return null;
        const box = r.main.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
        if (Math.floor((y - r.top) / r.height) !== r.lane.get(e[2]) || x < r.gutter) return null;
        const away = [0, 1].map(side => Math.abs(x - r.x(e[side]))), slack = event.pointerType === "mouse" ? 6 : 22;
        if (Math.min(...away) > slack) return null;
        return away[0] === away[1] ? Number(x > r.x(e[0])) : Number(away[1] < away[0]);
    }
    // what it looks like
    build() {
        const r = this.recording, bar = this.bar = document.createElement("div");
        bar.className = "bar edit";
        bar.setAttribute("role", "group");
        bar.setAttribute("aria-label", "Corrections of " + r.name);
        r.list.before(bar);
        this.ours = [];   // what needs a selected event
        const button = (text, label, act, needs = true) => {
            const b = element("button", bar, text);
            b.title = label;
            b.setAttribute("aria-label", label);
            b.onclick = act;
            if (needs) this.ours.push(b);
            return b;
        };
        const field = (text, kind) => { const l = element("label", bar, text + " "), f = element(kind, l); this.ours.push(f); return f; };
        button("+ Add", "Add an event at the cursor (E)", () => this.add(), false);
        this.accept = button("✓ Accept", "Accept the event (A)", () => this.mark("accepted"));
        this.reject = button("✗ Reject", "Reject the event (X)", () => this.mark("rejected"));
        this.label = field("Label", "select");
        this.label.onchange = () => this.choose();
        this.label.onkeydown = e => { this.typed = e.key !== "Enter"; };   // each arrow or letter changes a closed list: more may follow
        this.label.onpointerdown = () => { this.typed = false; };
        this.label.onkeyup = e => { if (e.key === "Escape") r.section.focus({preventScroll: true}); };
        this.times = ["Start", "End"].map((text, side) => {
            const f = field(text, "input");
            Object.assign(f, {type: "number", step: "any", min: 0, max: r.duration, inputMode: "decimal"});
            f.onchange = () => { const t = f.valueAsNumber; if (Number.isFinite(t)) this.edit(() => this.move(side, t)); else this.refresh(); };
            button(["⇤ cursor", "cursor ⇥"][side], `${text} of the event at the cursor (${"[]"[side]})`, () => this.edit(() => this.move(side, r.now())));
            return f;
        });
        this.back = button("Undo", "Undo the last correction (U)", () => this.undo(), false);
        const done = element("label", bar);
        this.done = element("input", done);
        this.done.type = "checkbox";
        this.done.onchange = () => this.review(this.done.checked);
        done.append(" reviewed");
        done.title = "All events of this recording are correct: an export of what is reviewed includes it (R)";
        button("Audacity labels", "Save the events of this recording as Audacity labels", () => this.audacity(), false);
    }
    choose() {   // the label of the list, or one that is typed
        let label = this.recording.labels[Number(this.label.value)];
        if (this.label.value === "") label = (prompt("New label (no commas)") || "").replace(/[\p{Cc}\s,]+/gu, " ").trim();
        if (label) this.edit(() => this.rename(label)); else this.refresh();
        if (!this.typed) this.recording.section.focus({preventScroll: true});   // its keys correct again
    }
    refresh() {
        const e = this.selected, r = this.recording;
        for (const control of this.ours) control.disabled = !e;
        this.back.disabled = !this.past.length;
        if (this.bar.contains(document.activeElement) && document.activeElement.disabled) r.section.focus({preventScroll: true});   // hidden controls get no keys
        this.done.checked = this.reviewed;
        this.accept.setAttribute("aria-pressed", String(Boolean(e) && e.state === "accepted"));
        this.reject.setAttribute("aria-pressed", String(Boolean(e) && e.state === "rejected"));
        if (this.label.options.length !== r.labels.length + 1) {
            this.label.replaceChildren();
            r.labels.map((text, k) => [k, text]).sort((a, b) => a[1].localeCompare(b[1])).forEach(([k, text]) => { element("option", this.label, text).value = k; });
            element("option", this.label, "new label …").value = "";
        }
        if (e) this.label.value = e[2]; else this.label.selectedIndex = -1;
        this.times.forEach((f, side) => { f.value = e ? milliseconds(e[side]) : ""; });
        r.draw();
    }
    paint(c, e, x, y, width, tall) {   // on an event of the picture: its state, and the handles of the selected one
        const get = name => getComputedStyle(document.documentElement).getPropertyValue(name);
        if (e.state === "rejected") { c.strokeStyle = get("--cursor"); c.lineWidth = 2; c.beginPath(); c.moveTo(x, y + tall); c.lineTo(x + width, y); c.stroke(); c.lineWidth = 1; }
        if (e !== this.selected) return;
        c.fillStyle = get("--accent");
        for (const at of [x, x + width]) { c.fillRect(at - 1.5, y - 2, 3, tall + 4); c.beginPath(); c.arc(at, y + tall / 2, 5, 0, 2 * Math.PI); c.fill(); }
    }
    dress(button, e) {   // an event of the list
        if (e.state) element("span", button, {accepted: "✓", rejected: "✗", changed: "✎", added: "+"}[e.state]).title = e.state;
        button.classList.toggle("rejected", e.state === "rejected");
        button.setAttribute("aria-pressed", String(e === this.selected));
    }
    // what is exported
    right() { return this.recording.all.filter(e => e.state !== "rejected"); }
    rows() {
        const r = this.recording, all = this.right().map(e => `${r.file}\t${e[0].toFixed(3)}\t${e[1].toFixed(3)}\t${r.labels[e[2]]}\n`);
        return all.length ? all : [`${r.file}\t\t\t\n`];   // a recording without events
    }
    audacity() {
        const r = this.recording, stem = r.file.split("/").pop().replace(/\.[^.]+$/, "");
        save(stem + ".txt", this.right().map(e => `${e[0].toFixed(6)}\t${e[1].toFixed(6)}\t${r.labels[e[2]]}\n`).join(""));
    }
}

function save(name, text) {
    const a = document.createElement("a");
    a.href = URL.createObjectURL(new Blob([text], {type: "text/plain;charset=utf-8"}));
    a.download = name;
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 60000);
}

function correctable(recordings, changed) {   // the whole page's part: what is exported, and what was kept
    const storage = new Kept(), bar = document.getElementById("export");
    const scope = element("select", element("label", bar, "Corrections of "));
    for (const text of ["reviewed", "all"]) element("option", scope, text + " recordings").value = text;
    const out = element("button", bar, "Export TSV"), away = element("button", bar, "Discard corrections"), status = element("span", bar, "", "note");
    status.setAttribute("role", "status");
    const report = text => {
        const done = recordings.filter(r => r.editing.reviewed).length;
        status.textContent = `${done} of ${recordings.length} reviewed${text}`;
    };
    const edited = () => { changed(); report(storage.works ? " · kept in this browser" : " · this browser keeps nothing: export before you leave"); };
    for (const r of recordings) new Editing(r, storage, edited);
    out.onclick = () => {
        const chosen = recordings.filter(r => scope.value === "all" || r.editing.reviewed);
        if (!chosen.length) { report(": tick “reviewed” where all events are correct, or choose all recordings"); return; }
        save("corrected.tsv", "filename\tonset\toffset\tevent_label\n" + chosen.flatMap(r => r.editing.rows()).join(""));
        if (recordings.every(r => chosen.includes(r) || !r.editing.past.length)) storage.unsaved = false;
        report(` · ${chosen.length} exported`);
    };
    away.onclick = () => {
        if (!confirm("Discard all corrections of this page?")) return;
        for (const r of recordings) r.editing.discard();
        storage.unsaved = false;
        changed();
        report("");
    };
    changed();
    report(recordings.some(r => r.editing.restored) ? " · your corrections were restored" : "");
}
