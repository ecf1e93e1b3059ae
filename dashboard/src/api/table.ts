/** The daemon's table of operations. Written by `python -m scripts.dashboard_table`. */

/** What a node has; what waits of its bond is back at `due_ms`, or when nothing holds it. `held_by` is "seat" or "task" while the node has one of these, else empty. */
export interface Account {
  readonly node: string;
  readonly name: string;
  readonly balance_msat: number;
  readonly bond_msat: number;
  readonly waiting_msat: number;
  readonly due_ms: number | null;
  readonly held_by: string;
  readonly escrow_msat: number;
  readonly tombstoned: boolean;
  readonly time_ms: number;
  readonly unvested_msat: number;
  readonly vests_ms: number | null;
}

/** An account in a list. */
export interface AccountLine {
  readonly node: string;
  readonly name: string;
  readonly balance_msat: number;
  readonly bond_msat: number;
  readonly waiting_msat: number;
  readonly tombstoned: boolean;
}

/** What the ledger took (transfer, bond or unbond), and this node's account after it. */
export interface AccountMoved {
  readonly kind: string;
  readonly amount_msat: number;
  readonly to: string | null;
  readonly account: Account;
}

/** Everybody's accounts in the order of their ids; `next` is where the list goes on. */
export interface Accounts {
  readonly accounts: readonly (AccountLine)[];
  readonly total: number;
  readonly next: string | null;
}

/** What anchoring costs at one fee rate; not `allowed` is what the node's caps forbid. */
export interface AnchorCost {
  readonly rate_msat_vb: number;
  readonly anchor_sat: number;
  readonly day_msat: number;
  readonly receipt_msat: number;
  readonly allowed: boolean;
}

/** One root of the receipt log on its way into a Bitcoin block; `op_return` is what it says. */
export interface AnchorInfo {
  readonly size: number;
  readonly root: string;
  readonly state: string;
  readonly txid: string | null;
  readonly height: number | null;
  readonly confirmations: number | null;
  readonly op_return: string | null;
  readonly fee_sat: number | null;
  readonly versions: number | null;
  readonly receipts: number;
  readonly block: string | null;
  readonly block_ms: number | null;
}

/** What anchors would cost, cheapest first; nothing is spent by asking. */
export interface AnchorPlan {
  readonly network: string;
  readonly vsize: number;
  readonly period_ms: number;
  readonly receipts_a_day: number;
  readonly estimate_msat_vb: number | null;
  readonly fee_sat_max: number;
  readonly fee_sat_a_day_max: number;
  readonly costs: readonly (AnchorCost)[];
}

/** The chain, the receipts that wait, and the latest anchors, the newest first. */
export interface Anchors {
  readonly chain: ChainStatus;
  readonly receipts: number;
  readonly receipts_anchored: number;
  readonly anchors: readonly (AnchorInfo)[];
  readonly troubles: readonly (Trouble)[];
  readonly network: string;
  readonly explorer: string;
  readonly next: string | null;
}

/** How many anchors are under way, and what the chain said before it was asked again. */
export interface AnchorsRetried {
  readonly anchors: number;
  readonly chain: ChainStatus;
}

/** Let some of this node's bond come back; it stays at risk for a while. */
export interface AskBondBack {
  readonly amount_msat: number;
}

/** Ask for a seat in the committee for this node; what it adds to its bond is at risk. */
export interface AskForSeat {
  readonly bond_msat?: number;
}

/** Do the federation's coins on the chain cover what the ledger owes? Its coins in pages. */
export interface AuditPeg {
  readonly limit?: number;
  readonly after?: string;
}

/** A backup that is on disk. */
export interface BackupMade {
  readonly path: string;
  readonly height: number;
  readonly state_root: string;
  readonly size_bytes: number;
  readonly from_height: number;
  readonly sealed: boolean;
}

/** A blame certificate in canonical bytes. */
export interface BlameFileReply {
  readonly node: string;
  readonly name: string;
  readonly kind: string;
  readonly task: string | null;
  readonly data: string;
}

/** What convicted a node; a certificate needs the task, unless it is two statements alone. */
export interface BlameInfo {
  readonly node: string;
  readonly name: string;
  readonly kind: string;
  readonly task: string | null;
  readonly exportable: boolean;
}

/** The evidence in the ledger; `next` is where the list goes on. */
export interface Blames {
  readonly blames: readonly (BlameInfo)[];
  readonly next: string | null;
}

/** A blob that is on this node's disk. */
export interface BlobKept {
  readonly sha256: string;
  readonly size_bytes: number;
}

/** A blob. */
export interface BlobReply {
  readonly sha256: string;
  readonly data: string;
}

/** Bound what all private studies of this node may spend together; null for no bound. */
export interface BoundBudget {
  readonly epsilon: number | null;
}

/** Have the module's bytes on this node, checked against the ledger, to run it by SHA-256. Without a version it is the one that is pinned here. */
export interface BringModule {
  readonly publisher: string;
  readonly name: string;
  readonly version?: string;
}

/** What private studies have spent on this node, each and together, at this delta. `limit` is what the owner lets all of them spend together; null where there is no bound. */
export interface Budget {
  readonly studies: readonly (BudgetInfo)[];
  readonly epsilon: number | null;
  readonly delta: number;
  readonly limit: number | null;
}

/** One private study on this node; no `epsilon` where no bound is claimed. `releases` are updates that were shown within sums, `wasted` those that came to nothing; both count. `releases_left` is how many more its limit, and the one over all, have room for; null without either. */
export interface BudgetInfo {
  readonly study: string;
  readonly name: string;
  readonly epsilon: number | null;
  readonly limit: number | null;
  readonly releases: number;
  readonly wasted: number;
  readonly releases_left: number | null;
}

/** Take a task back; only its submitter can, and only before all answers are sealed. */
export interface CancelTask {
  readonly task: string;
}

/** The Bitcoin chain this node anchors to. */
export interface ChainStatus {
  readonly kind: string;
  readonly state: string;
  readonly height: number | null;
  readonly detail: string;
  readonly headers: HeadersStatus | null;
}

/** One thing that was looked at. */
export interface CheckInfo {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** A cluster in figures, as this node's ledger has them; `anchored` and `receipts` count. `tasks` and `studies` are counted by their states. */
export interface Cluster {
  readonly name: string;
  readonly fingerprint: string;
  readonly term: number;
  readonly coordinator: string | null;
  readonly committed_height: number;
  readonly time_ms: number;
  readonly epoch: number;
  readonly committee: number;
  readonly nodes: number;
  readonly connected: number;
  readonly tasks: Readonly<Record<string, number>>;
  readonly receipts: number;
  readonly anchored: number;
  readonly studies: Readonly<Record<string, number>>;
}

/** A coin that the ledger holds, and whether the chain has it unspent; None without a chain. */
export interface CoinInfo {
  readonly outpoint: string;
  readonly value_sat: number;
  readonly address: string;
  readonly is_unspent: boolean | null;
}

/** The copies that are being written now. */
export interface CopiesUnderWay {
  readonly copies: readonly (CopyUnderWay)[];
}

/** A copy that is being written: how many rows of it, of how many; 0 before that is known. */
export interface CopyUnderWay {
  readonly name: string;
  readonly rows: number;
  readonly rows_total: number;
}

/** Write the node's log to a new file on its machine, or into a bucket. */
export interface CreateBackup {
  readonly path: string;
  readonly recipients?: readonly (string)[];
}

/** What one replica used; null with the reason as source when the device cannot tell. */
export interface EnergyInfo {
  readonly worker: string;
  readonly slot: number;
  readonly millijoules: number | null;
  readonly source: string;
  readonly doubt: string;
  readonly modelled: boolean;
}

/** Something that has happened, in block time; node and task ids in `fields` are full. */
export interface Event {
  readonly time_ms: number;
  readonly kind: string;
  readonly text: string;
  readonly fields: Readonly<Record<string, string | number | boolean | readonly (string)[] | null>>;
}

/** What convicts a node, and what it did to its reputation. */
export interface EvidenceInfo {
  readonly culprit: string;
  readonly kind: string;
  readonly detail: string;
  readonly reputation_before: number | null;
  readonly reputation_after: number | null;
}

/** Why a task is where it is; an unambiguous start of its id is enough. */
export interface ExplainTask {
  readonly task: string;
}

/** The certificate against a node, or the one from a task, each named by the start of its id. */
export interface ExportBlame {
  readonly about: string;
  readonly with_module?: boolean;
}

/** Give a study's present model as a file. */
export interface ExportModel {
  readonly study: string;
  readonly form?: ModelForm;
}

/** Tell what happens from now on; an empty list of tasks means everything. */
export interface FollowEvents {
  readonly tasks?: readonly (string)[];
}

/** How far have receipts come on the way into Bitcoin blocks? */
export interface GetAnchors {
  readonly limit?: number;
  readonly after?: string;
}

/** The bytes of this name, if they are on this node; all, or a range of them. */
export interface GetBlob {
  readonly sha256: string;
}

/** What has this node shown in private studies, and what has that spent? */
export type GetBudget = Readonly<Record<string, never>>;

/** What is the receipt log's newest head, and did it grow from the first `since` receipts? */
export interface GetLogUpdate {
  readonly since?: number;
}

/** With what was a task executed, or one item of a bundle? */
export interface GetMaterial {
  readonly task: string;
  readonly item?: number | null;
}

/** The output bytes of a task, or those of one item of a bundle; the first item is 0. With `proof` the proof of a proven task in their place. */
export interface GetOutput {
  readonly task: string;
  readonly item?: number | null;
  readonly proof?: boolean;
}

/** Where does this node peg in? It asks the log for an address if it has none. */
export type GetPegAddress = Readonly<Record<string, never>>;

/** Can this node take part in the log now? */
export type GetReadiness = Readonly<Record<string, never>>;

/** The receipt file of a task, or of one item of a bundle, as complete as it is now. */
export interface GetReceipt {
  readonly task: string;
  readonly item?: number | null;
}

/** Give the file that shows a stranger what a round came to. */
export interface GetRound {
  readonly study: string;
  readonly round: number;
}

/** How is this node? */
export type GetStatus = Readonly<Record<string, never>>;

/** What did a task's module write to its standard error? This node executes it again to see. */
export interface GetTaskLog {
  readonly task: string;
  readonly item?: number | null;
}

/** The Bitcoin headers that this node has checked; `state` says what keeps them, if anything. */
export interface HeadersStatus {
  readonly state: string;
  readonly base_height: number;
  readonly height: number;
  readonly tip: string;
}

/** What tasks moved, as far as the ledger still holds them; it keeps no line of transfers. */
export interface History {
  readonly node: string;
  readonly name: string;
  readonly entries: readonly (HistoryEntry)[];
  readonly total: number;
  readonly next: string | null;
}

/** What a task moved: `pay`, `unvested` pay that waits, a `fee`, or what it has in `escrow`. What an account gave away is below zero. */
export interface HistoryEntry {
  readonly time_ms: number;
  readonly kind: string;
  readonly task: string;
  readonly amount_msat: number;
}

/** One thing that happened to a task. */
export interface HistoryLine {
  readonly time_ms: number;
  readonly text: string;
}

/** A module's own image by the present translation; empty while not enough members say so. `needed` is how many must say the same; `fee_msat` what this word has cost. */
export interface ImageInfo {
  readonly module_sha256: string;
  readonly translation: string;
  readonly image: string;
  readonly needed: number;
  readonly words: readonly (ImageWord)[];
  readonly fee_msat: number;
  readonly file: string | null;
  readonly decided_ms: number | null;
  readonly decided_epoch: number | null;
}

/** One node's word; `denied` where it has named another image than members found, of any. */
export interface ImageWord {
  readonly node: string;
  readonly name: string;
  readonly image: string;
  readonly is_member: boolean;
  readonly denied: boolean;
}

/** A join token; whoever holds it can bring one node in until it expires. `addresses` are those the token names; `loopback` when only this machine can dial them. */
export interface Invitation {
  readonly token: string;
  readonly expires_ms: number;
  readonly addresses: readonly (string)[];
  readonly loopback: boolean;
}

/** Make a token that lets one more node join. */
export interface Invite {
  readonly expires_in_ms?: number;
}

/** Let this node train on this data for a study; who audits its training is given them. */
export interface JoinStudy {
  readonly study: string;
  readonly data: string;
  readonly epsilon?: number | null;
}

/** Let this node take part in a study no more. */
export interface LeaveStudy {
  readonly study: string;
}

/** A link as the node `by` sees it; `one_way_us` is null where it has measured nothing. */
export interface LinkTold {
  readonly by: string;
  readonly to: string;
  readonly one_way_us: number | null;
  readonly age_ms: number;
}

/** The links of this node and of those that it asked lately. */
export interface LinksTold {
  readonly self_id: string;
  readonly links: readonly (LinkTold)[];
  readonly next: string | null;
}

/** What does everybody have? */
export interface ListAccounts {
  readonly limit?: number;
  readonly after?: string;
}

/** Who was convicted, and by what? */
export interface ListBlames {
  readonly limit?: number;
  readonly after?: string;
}

/** Which links do the nodes have, by their own word? */
export interface ListLinks {
  readonly limit?: number;
  readonly after?: string;
}

/** Who keeps the log, and what was said about seats? */
export interface ListMembers {
  readonly limit?: number;
  readonly after?: string;
}

/** Which modules are published with this text in name, summary or publisher? By name. */
export interface ListModules {
  readonly text?: string;
  readonly limit?: number;
  readonly after?: string;
}

/** Who is in the cluster? */
export interface ListNodes {
  readonly limit?: number;
  readonly after?: string;
}

/** What came in for this node, and then what goes out? A page may hold some of both. */
export interface ListPeg {
  readonly limit?: number;
  readonly after?: string;
}

/** Which studies go on, and which have ended lately? */
export interface ListStudies {
  readonly limit?: number;
  readonly after?: string;
}

/** Which tasks does the ledger hold? The newest first; `open` are all that have not ended. */
export interface ListTasks {
  readonly limit?: number;
  readonly state?: string;
  readonly after?: string;
}

/** The newest head of the receipt log, in the bytes that witnesses pass on. */
export interface LogUpdateReply {
  readonly size: number;
  readonly update: string;
}

/** Which copies of the log are being written now? */
export type LookAtBackups = Readonly<Record<string, never>>;

/** How do peers see this node? */
export type LookRound = Readonly<Record<string, never>>;

/** One peer's view; `clock_ms` is how far its clock is ahead, `reached` null if not tried. */
export interface LookedAt {
  readonly node: string;
  readonly reached: boolean | null;
  readonly clock_ms: number;
  readonly version: string;
}

/** What the peers that were asked said; `clock_ms` is the median of their clocks. `block_ms` is how far the time of the last block is ahead of this node's clock, and `relays` through how many members this node can be reached. */
export interface Looks {
  readonly port: number;
  readonly asked: number;
  readonly peers: readonly (LookedAt)[];
  readonly clock_ms: number | null;
  readonly block_ms: number;
  readonly relays: number;
}

/** What the publisher signed besides; nobody else vouches for any of it. */
export interface ManifestInfo {
  readonly interface: string;
  readonly gas_max: number;
  readonly memory_bytes_max: number;
  readonly wall_ms_max: number;
  readonly output_bytes_max: number;
  readonly price_msat_per_mgas: number;
  readonly licence: string;
  readonly source_url: string;
  readonly source_sha256: string | null;
}

/** All that an execution depends on: whoever executes again comes to the same end. */
export interface Material {
  readonly task_id: string;
  readonly module: string;
  readonly input: string;
  readonly seed: string;
  readonly gas_max: number;
  readonly memory_bytes_max: number;
  readonly wall_ms_max: number;
  readonly output_bytes_max: number;
}

/** The committee of the present epoch, and who asks for a seat in it. */
export interface Members {
  readonly self_id: string;
  readonly epoch: number;
  readonly epoch_hash: string;
  readonly since_height: number;
  readonly quorum: number;
  readonly seats: readonly (SeatInfo)[];
  readonly next: string | null;
  readonly state_version: number;
}

/** A model as a file. */
export interface ModelFile {
  readonly data: string;
  readonly round: number;
}

/** The files that a model is exported as. */
export type ModelForm = "npz" | "onnx";

/** One version of a module, and which others there are, the newest first. Without a manifest, `problem` says why it is not known. `here` says whether its bytes are on this node, `pinned` whether they stay. */
export interface ModuleInfo {
  readonly publisher: string;
  readonly publisher_name: string;
  readonly convicted: boolean;
  readonly name: string;
  readonly summary: string;
  readonly shown: VersionInfo;
  readonly manifest: ManifestInfo | null;
  readonly problem: string;
  readonly here: boolean;
  readonly pinned: boolean;
  readonly versions: readonly (VersionInfo)[];
  readonly published_as: readonly (string)[];
  readonly image: ImageInfo | null;
}

/** A published module in a list; `version` is the newest that can be advised, or empty. */
export interface ModuleLine {
  readonly publisher: string;
  readonly publisher_name: string;
  readonly name: string;
  readonly version: string;
  readonly summary: string;
  readonly versions: number;
  readonly convicted: boolean;
}

/** A version that is in the ledger. */
export interface ModulePublished {
  readonly publisher: string;
  readonly name: string;
  readonly version: string;
  readonly module_sha256: string;
  readonly manifest_sha256: string;
  readonly fee_msat: number;
}

/** Published modules, by name. */
export interface Modules {
  readonly modules: readonly (ModuleLine)[];
  readonly total: number;
  readonly next: string | null;
}

/** Say as this node what a module's own image is; the first word on a module costs a fee. Whoever says it has translated the module: who names another image than the members find names none any more. */
export interface NameImage {
  readonly module_sha256: string;
  readonly image: string;
}

/** One node as the ledger and this node's telemetry know it. */
export interface NodeInfo {
  readonly id: string;
  readonly name: string;
  readonly region: string;
  readonly kind: string;
  readonly committee: boolean;
  readonly connected: boolean;
  readonly health_percent: number | null;
  readonly reputation: number;
  readonly safe_mode: boolean;
  readonly engine: string;
  readonly balance_msat: number;
  readonly bond_msat: number;
  readonly tombstoned: boolean;
  readonly accepting: boolean;
  readonly load_percent: number | null;
  readonly latency_us: number | null;
  readonly open_slots: number;
  readonly capacity: number | null;
  readonly closed: string;
  readonly owner: string;
  readonly labels: readonly (string)[];
  readonly refuses: readonly (string)[];
  readonly link_us: number | null;
  readonly causes: readonly (string)[];
}

/** The means of equal steps, the present one last; the first begins at `from_ms`. Not `kept` is a node for which this one has no room. All is lost when the daemon stops. */
export interface NodeTelemetry {
  readonly node: string;
  readonly name: string;
  readonly span: string;
  readonly from_ms: number;
  readonly step_ms: number;
  readonly kept: boolean;
  readonly safe_mode: boolean;
  readonly causes: readonly (string)[];
  readonly energy_wh: number | null;
  readonly lines: readonly (SeriesLine)[];
}

/** What the scheduler sees in one node for a slot that waits, or saw when it gave one. */
export interface NodeWhy {
  readonly node: string;
  readonly name: string;
  readonly standing: string;
  readonly text: string;
  readonly open_slots: number;
  readonly capacity: number;
}

/** Who is in the cluster; the answering node is `self`, `next` is where the list goes on. */
export interface Nodes {
  readonly self_id: string;
  readonly nodes: readonly (NodeInfo)[];
  readonly next: string | null;
}

/** A task's output, and how far it can be relied on if one worker gave it alone. */
export interface Output {
  readonly task_id: string;
  readonly data: string;
  readonly sha256: string;
  readonly standing: string;
}

/** What an owner lets a node do, as far as it is less than all: without any it is all. `capacity` is how many executions at once the mesh is told; 0 bytes mean as config.toml says. */
export interface OwnerCaps {
  readonly cpu_percent: number;
  readonly capacity: number;
  readonly memory_bytes_max: number;
  readonly hours: readonly (string)[];
  readonly time_zone: string;
  readonly on_battery: boolean;
  readonly on_metered: boolean;
  readonly refuses: readonly (string)[];
  readonly paused: boolean;
}

/** What the owner lets this node do, and what that means now. */
export interface OwnerReply {
  readonly standing: OwnerStanding;
  readonly running: number;
  readonly cpu_percent: number;
  readonly memory_bytes_max: number;
  readonly hours: readonly (string)[];
  readonly time_zone: string;
  readonly on_battery: boolean;
  readonly on_metered: boolean;
  readonly metered_links: readonly (string)[];
  readonly refuses: readonly (string)[];
  readonly paused: boolean;
  readonly paused_until_ms: number;
  readonly capacity: number;
  readonly inputs_kept_ms: number;
  readonly outputs_kept_ms: number;
  readonly notes: readonly (string)[];
}

/** Whether the node takes work, in words, and for programs why not: `open` when it does. */
export interface OwnerStanding {
  readonly closed: string;
  readonly text: string;
  readonly until_ms: number | null;
  readonly told: boolean;
  readonly caps: OwnerCaps;
}

/** Take no more work, for a while or until `resume`; `stops` hands back what runs. */
export interface Pause {
  readonly stops?: boolean;
  readonly for_ms?: number;
}

/** One payment of the federation: its newest version, or the one that is final. */
export interface PaymentInfo {
  readonly payment: number;
  readonly kind: string;
  readonly state: string;
  readonly amount_sat: number;
  readonly fee_sat: number;
  readonly arrives_sat: number;
  readonly versions: number;
  readonly signatures: number;
  readonly needed: number;
  readonly txid: string;
}

/** Where to peg in; the descriptor is of all addresses of the wallet. */
export interface PegAddressReply {
  readonly address: string;
  readonly index: number;
  readonly wallet: number;
  readonly network: string;
  readonly descriptor: string;
  readonly confirmations: number;
  readonly least_sat: number;
  readonly fee_sat: number;
  readonly most_sat: number;
  readonly room_sat: number;
  readonly unaudited: readonly (string)[];
}

/** The books: coins against what is owed. Coins that a payment spends may be gone already. */
export interface PegAudit {
  readonly network: string;
  readonly held_sat: number;
  readonly reserved_sat: number;
  readonly waiting_sat: number;
  readonly owed_msat: number;
  readonly in_sat: number;
  readonly out_sat: number;
  readonly fees_sat: number;
  readonly fault: string;
  readonly descriptors: readonly (string)[];
  readonly coins: readonly (CoinInfo)[];
  readonly payments: readonly (PaymentInfo)[];
  readonly missing_sat: number;
  readonly most_sat: number;
  readonly unaudited: readonly (string)[];
  readonly unseen: string;
  readonly next: string | null;
}

/** One output that came to a node's address. */
export interface PegInInfo {
  readonly outpoint: string;
  readonly value_sat: number;
  readonly wallet: number;
  readonly is_late: boolean;
  readonly state: PegInState;
  readonly members: number;
  readonly members_needed: number;
  readonly confirmations: number | null;
  readonly confirmations_needed: number;
  readonly due_s: number | null;
  readonly payment: number;
  readonly return_sat: number;
}

/** How far an output that came to a node's address is. */
export type PegInState = "awaited" | "claimed" | "confirming" | "counted" | "late" | "return-asked" | "returned" | "returning" | "too-large" | "too-long" | "too-small" | "waiting";

/** A node's peg-ins, and its peg-outs. */
export interface PegList {
  readonly peg_ins: readonly (PegInInfo)[];
  readonly payments: readonly (PaymentInfo)[];
  readonly unseen: string;
  readonly next: string | null;
}

/** Keep a version's bytes on this node, and hold its written name to its key and SHA-256. */
export interface PinModule {
  readonly publisher: string;
  readonly name: string;
  readonly version: string;
}

/** Are you there? */
export type Ping = Readonly<Record<string, never>>;

/** What do anchors cost? Rates in millisatoshi a virtual byte; none: the estimate and a few. A period of 0 is the configured one. */
export interface PlanAnchors {
  readonly rates_msat_vb?: readonly (number)[];
  readonly period_ms?: number;
  readonly receipts_a_day?: number;
}

/** I am here. */
export interface Pong {
  readonly version: string;
  readonly now_ms: number;
}

/** What a private study asks of its participants, and what it has spent on this node. `epsilon_round` is the cost of one release, `epsilon_rounds` that of one in every round; null without noise. `spent` and `limit` are of the node that answers: its own word on its own book. */
export interface Privacy {
  readonly clip: number;
  readonly noise: number;
  readonly group: number;
  readonly threshold: number;
  readonly delta: number;
  readonly epsilon_round: number | null;
  readonly epsilon_rounds: number | null;
  readonly spent: number | null;
  readonly limit: number | null;
  readonly releases: number;
  readonly wasted: number;
}

/** What they have spent, together; no `epsilon` where nothing bounds it. */
export interface PrivacyStanding {
  readonly studies: number;
  readonly epsilon: number | null;
}

/** Publish a version of a module as this node, for a fee; its name then means it for ever. Limits are what a task asks for unless its submitter says otherwise; a price of 0 advises nothing. The module comes as bytes, or as the SHA-256 of a blob that is on this node. */
export interface PublishModule {
  readonly name: string;
  readonly version: string;
  readonly summary: string;
  readonly interface: string;
  readonly gas_max: number;
  readonly memory_bytes_max: number;
  readonly wall_ms_max: number;
  readonly output_bytes_max: number;
  readonly licence: string;
  readonly price_msat_per_mgas?: number;
  readonly source_url?: string;
  readonly source_sha256?: string | null;
  readonly module?: string;
  readonly module_sha256?: string | null;
}

/** Keep the body's bytes, whose SHA-256 is their name, until nothing has used them for long. */
export interface PutBlob {
  readonly sha256: string;
}

/** What a task may cost: `likely_msat` if it uses all its gas, `escrow_msat` in any case. A caller that nobody can ask should not spend more than `ask_above_msat`. `suited` nodes are what the task asks for, now and as their owners say. */
export interface Quote {
  readonly assurance: string;
  readonly replicas: number;
  readonly replicas_max: number;
  readonly gas_max: number;
  readonly slot_fee_msat: number;
  readonly likely_msat: number;
  readonly escrow_msat: number;
  readonly reserve_msat: number;
  readonly balance_msat: number;
  readonly ask_above_msat: number;
  readonly suited: number;
}

/** What would it cost to send back what is never credited? Nothing is moved. */
export interface QuoteReturn {
  readonly outpoint: string;
  readonly address: string;
  readonly rate_msat_vb?: number;
}

/** What would a task of these terms cost? */
export interface QuoteTask {
  readonly module_size_bytes?: number;
  readonly input_size_bytes?: number;
  readonly items?: number;
  readonly assurance?: string;
  readonly replicas?: number;
  readonly colluders_permille?: number;
  readonly gas_max?: number;
  readonly memory_bytes_max?: number;
  readonly wall_ms_max?: number;
  readonly output_bytes_max?: number;
  readonly price_msat_per_mgas?: number;
  readonly task_class?: string;
  readonly constraints?: readonly (string)[];
  readonly distinct?: readonly (string)[] | null;
  readonly priority?: number;
  readonly deadline_ms?: number;
  readonly attempts_max?: number;
  readonly marks_max?: number;
  readonly strategy?: string;
  readonly cycles_max?: number;
  readonly price_msat_per_mcycle?: number;
}

/** What would a peg-out cost now? A rate in msat/vB, 0 for 2 sat/vB; nothing is moved. */
export interface QuoteWithdrawal {
  readonly address: string;
  readonly amount_sat: number;
  readonly rate_msat_vb?: number;
}

/** Put credits of this node at risk. */
export interface RaiseBond {
  readonly amount_msat: number;
}

/** Pay more for a peg-out that waits. */
export interface RaiseFee {
  readonly payment: number;
  readonly fee_sat: number;
}

/** This node takes part; one that cannot answers with an error that says why. */
export interface Readiness {
  readonly ready: boolean;
}

/** A receipt file in canonical bytes, and how far its anchor is. */
export interface ReceiptFileReply {
  readonly task_id: string;
  readonly data: string;
  readonly receipt: ReceiptState;
  readonly standing: string;
}

/** How far a receipt has come: none, settled, batched or anchored. */
export interface ReceiptState {
  readonly state: string;
  readonly height: number | null;
  readonly confirmations: number | null;
  readonly txid: string | null;
}

/** Take work again, as far as hours, battery and network let it. */
export type Resume = Readonly<Record<string, never>>;

/** Look at the chain now, and send again whatever waits. */
export type RetryAnchors = Readonly<Record<string, never>>;

/** What goes back: its worth, the fee, and what arrives of it. */
export interface ReturnInfo {
  readonly outpoint: string;
  readonly value_sat: number;
  readonly fee_sat: number;
  readonly arrives_sat: number;
  readonly payment: number;
}

/** Send back what came to this node's address and is never credited; the fee goes off it. */
export interface ReturnPegIn {
  readonly outpoint: string;
  readonly address: string;
  readonly fee_sat: number;
}

/** A round's receipt, for `ambientctl fl verify`; `state` is pending, or anchored. */
export interface RoundFileReply {
  readonly data: string;
  readonly round: number;
  readonly state: string;
}

/** One round; `correct` of `total` held-out samples were right with its model. `epsilon` is what a participant has spent that showed an update in each round up to this one. `faulty` are those whose shares were false, whose update was no training's, or who showed no rows though they were drawn: these are the `unshown`, whose update did not count. */
export interface RoundInfo {
  readonly round: number;
  readonly state: string;
  readonly participants: number;
  readonly updates: number;
  readonly survivors: number;
  readonly left_out: readonly (string)[];
  readonly correct: number;
  readonly total: number;
  readonly loss: number | null;
  readonly model: string;
  readonly receipt: string;
  readonly began_ms: number;
  readonly ended_ms: number;
  readonly reason: string;
  readonly epsilon: number | null;
  readonly faulty: readonly (string)[];
  readonly unshown: readonly (string)[];
}

/** Whether a circuit breaker has tripped, and why. */
export interface SafeMode {
  readonly active: boolean;
  readonly reasons: readonly (string)[];
}

/** What locks the workers down on this machine, and what is missing. */
export interface Sandbox {
  readonly active: readonly (string)[];
  readonly missing: readonly (string)[];
}

/** A member, or a node that asks for a seat; `next` is null unless a change is decided. */
export interface SeatInfo {
  readonly id: string;
  readonly name: string;
  readonly member: boolean;
  readonly asking: boolean;
  readonly next: boolean | null;
  readonly standing: number;
  readonly bond_msat: number;
  readonly tombstoned: boolean;
  readonly words: readonly (SeatWordInfo)[];
  readonly known_version: number;
}

/** What the ledger took; `epoch_due` is the epoch that a quorum has decided on, if any. */
export interface SeatSaid {
  readonly node: string;
  readonly wish: string;
  readonly epoch: number;
  readonly epoch_due: number | null;
}

/** What one node wants for a seat: in, out or instead (of another). */
export interface SeatWordInfo {
  readonly node: string;
  readonly wish: string;
}

/** What peers said of this node in the last ten minutes. Of those that `answered`, `tried` dialled its port and `reached` found it there; `saying` told their links, and `linked` have one to it. `age_ms` is that of the newest answer, null if none. Through so many `relays` others reach it without dialling its port. */
export interface Seen {
  readonly port: number;
  readonly answered: number;
  readonly tried: number;
  readonly reached: number;
  readonly saying: number;
  readonly linked: number;
  readonly age_ms: number | null;
  readonly relays: number;
}

/** One measure over time; `source` is what measured it last, null is not known. */
export interface SeriesLine {
  readonly name: string;
  readonly unit: string;
  readonly source: string;
  readonly values: readonly (number | null)[];
}

/** Let the node do this from now on; what is not named stays as it is. `refuses` replaces the classes of tasks that the node takes none of. */
export interface SetOwner {
  readonly cpu_percent?: number | null;
  readonly memory_bytes_max?: number | null;
  readonly hours?: readonly (string)[] | null;
  readonly time_zone?: string | null;
  readonly on_battery?: boolean | null;
  readonly on_metered?: boolean | null;
  readonly metered_links?: readonly (string)[] | null;
  readonly refuses?: readonly (string)[] | null;
}

/** What does a node have? No name means this node. */
export interface ShowAccount {
  readonly node?: string | null;
}

/** The cluster in figures. */
export type ShowCluster = Readonly<Record<string, never>>;

/** Which tasks moved a node's credits? The newest first; no name means this node. */
export interface ShowHistory {
  readonly node?: string | null;
  readonly limit?: number;
  readonly after?: string;
}

/** What is a module's own image, and who says so? With a file for strangers where asked. */
export interface ShowImage {
  readonly module_sha256: string;
  readonly with_file?: boolean;
}

/** Everything about one version; without a version, about the newest that can be advised. */
export interface ShowModule {
  readonly publisher: string;
  readonly name: string;
  readonly version?: string;
}

/** Everything about one node: its id, an unambiguous start of it, or its name. */
export interface ShowNode {
  readonly node: string;
}

/** What does the owner let this node do? */
export type ShowOwner = Readonly<Record<string, never>>;

/** One study with its rounds after one; its id, or an unambiguous start of it. */
export interface ShowStudy {
  readonly study: string;
  readonly limit?: number;
  readonly after?: number;
}

/** Everything about one task; an unambiguous start of its id is enough. */
export interface ShowTask {
  readonly task: string;
}

/** What did a node say of itself over the last hour, or the last day? */
export interface ShowTelemetry {
  readonly node: string;
  readonly span?: string;
}

/** One replica: who has it, and how far it is. */
export interface SlotInfo {
  readonly slot: number;
  readonly attempt: number;
  readonly worker: string;
  readonly state: string;
}

/** Who has a slot, and how it was given; without `given_ms` this daemon does not know any more. `chance_percent` is what the draw by weight had for it; other strategies take the best. */
export interface SlotWhy {
  readonly slot: number;
  readonly attempt: number;
  readonly node: string;
  readonly name: string;
  readonly given_ms: number | null;
  readonly strategy: string;
  readonly chance_percent: number | null;
  readonly counts: readonly (StandingCount)[];
  readonly nodes: readonly (NodeWhy)[];
}

/** How many nodes stand alike for a slot that waits, or stood when it was given. */
export interface StandingCount {
  readonly standing: string;
  readonly nodes: number;
  readonly text: string;
}

/** Invite nodes to train a model together; every field but the first two may be left out. `poisoned` is the share of liars that the aggregation is to stand. An invitation ends after `invite_s`, or once `wanted` nodes take part (0: `participants_min`), which are as many as a round has. `module` is the trainer of `trainer = "wasm"`; of so many updates of each round as `audits` says, others execute the training again. In `private` mode updates are clipped to the norm `clip`, `noise` times that is added to each sum, and groups of `group` or more (0: 8) are summed in secret; `threshold` (0: two thirds and one more) of each must not drop out. With a `tolerance` and no module, members repeat the training of so many as `audits` says, and bar whose update is further off than that part of the largest number that training moved. */
export interface StartStudy {
  readonly name: string;
  readonly model: string;
  readonly trainer?: string;
  readonly aggregation?: string;
  readonly rounds?: number;
  readonly participants_min?: number;
  readonly wanted?: number;
  readonly seed?: number;
  readonly passes?: number;
  readonly batch?: number;
  readonly rate?: number;
  readonly prox?: number;
  readonly poisoned?: number;
  readonly private?: boolean;
  readonly clip?: number;
  readonly noise?: number;
  readonly group?: number;
  readonly threshold?: number;
  readonly samples_max?: number;
  readonly module?: string;
  readonly audits?: number;
  readonly tolerance?: number;
  readonly invite_s?: number;
  readonly train_s?: number;
  readonly step_s?: number;
}

/** How a node is; `coordinator` is null while a term has none. */
export interface Status {
  readonly node: string;
  readonly name: string;
  readonly version: string;
  readonly cluster: string;
  readonly fingerprint: string;
  readonly uptime_ms: number;
  readonly term: number;
  readonly coordinator: string | null;
  readonly committed_height: number;
  readonly committee: number;
  readonly peers: readonly (string)[];
  readonly health_percent: number | null;
  readonly safe_mode: SafeMode;
  readonly tasks: Readonly<Record<string, number>>;
  readonly engine: string;
  readonly engines_installed: readonly (string)[];
  readonly sandbox: Sandbox;
  readonly chain: ChainStatus;
  readonly balance_msat: number;
  readonly faults: string;
  readonly epoch: number;
  readonly troubles: readonly (Trouble)[];
  readonly silent_ms: number;
  readonly owner: OwnerStanding;
  readonly privacy: PrivacyStanding;
  readonly seen: Seen;
  readonly state_version: number;
  readonly known_version: number;
  readonly tasks_waiting: number;
}

/** End a study that this node began. */
export interface StopStudy {
  readonly study: string;
}

/** The studies that the ledger knows, open ones first; `next` is where the list goes on. */
export interface Studies {
  readonly studies: readonly (StudyInfo)[];
  readonly next: string | null;
}

/** A study and the rounds that the ledger keeps; `next` is the round after which it goes on. */
export interface StudyDetail {
  readonly study: StudyInfo;
  readonly rounds: readonly (RoundInfo)[];
  readonly next: number | null;
}

/** A study; `takes_part` is of the node that answers, `earlier` are those who do no more. `round_state` is what its present or last round waits for, empty before the first; `fell_out` how many of the last round that ended have no part in its model. With a `tolerance` no participant has more than `samples_repeated` samples. */
export interface StudyInfo {
  readonly study: string;
  readonly name: string;
  readonly author: string;
  readonly state: string;
  readonly reason: string;
  readonly model: string;
  readonly trainer: string;
  readonly aggregation: string;
  readonly private: boolean;
  readonly rounds: number;
  readonly done: number;
  readonly round: number;
  readonly participants: readonly (string)[];
  readonly participants_min: number;
  readonly takes_part: boolean;
  readonly digest: string;
  readonly privacy: Privacy | null;
  readonly earlier: readonly (string)[];
  readonly audits: number;
  readonly escrow_msat: number;
  readonly round_state: string;
  readonly fell_out: number;
  readonly tolerance: number;
  readonly samples_repeated: number;
}

/** Execute a module on an input. The same nonce, module, input and terms are the same task, submitted once however often it is asked; an empty nonce always makes a new task. A module or an input that this node has already, as a blob, is named by its SHA-256 instead. `items` are many inputs in the place of one: the module is executed on each by itself, with the gas, memory and time that are asked for. The output of the task is the bundle of their outcomes (protocols/19), `output_bytes_max` at most: that is for all together. */
export interface SubmitTask {
  readonly assurance?: string;
  readonly replicas?: number;
  readonly colluders_permille?: number;
  readonly gas_max?: number;
  readonly memory_bytes_max?: number;
  readonly wall_ms_max?: number;
  readonly output_bytes_max?: number;
  readonly price_msat_per_mgas?: number;
  readonly task_class?: string;
  readonly constraints?: readonly (string)[];
  readonly distinct?: readonly (string)[] | null;
  readonly priority?: number;
  readonly deadline_ms?: number;
  readonly attempts_max?: number;
  readonly marks_max?: number;
  readonly strategy?: string;
  readonly cycles_max?: number;
  readonly price_msat_per_mcycle?: number;
  readonly module?: string;
  readonly module_sha256?: string | null;
  readonly input?: string;
  readonly input_sha256?: string | null;
  readonly nonce?: string;
  readonly items?: readonly (string)[];
}

/** The task is in the log and its fee in escrow; `known` when it was there before. */
export interface Submitted {
  readonly task_id: string;
  readonly known: boolean;
}

/** Everything about a task; what has not happened yet is null, empty or "none". */
export interface Task {
  readonly task_id: string;
  readonly state: string;
  readonly submitter: string;
  readonly submitted_ms: number;
  readonly assurance: string;
  readonly replicas: number;
  readonly module_sha256: string;
  readonly input_sha256: string;
  readonly gas_max: number;
  readonly price_msat_per_mgas: number;
  readonly slots: readonly (SlotInfo)[];
  readonly outcome: string;
  readonly reason: string;
  readonly gas: number | null;
  readonly output_sha256: string | null;
  readonly output_size_bytes: number | null;
  readonly verdict: string;
  readonly liars: readonly (string)[];
  readonly evidence: readonly (EvidenceInfo)[];
  readonly fee_msat: number;
  readonly escrow_msat: number;
  readonly paid_msat: number;
  readonly refunded_msat: number;
  readonly payments: readonly (WorkerPay)[];
  readonly energy: readonly (EnergyInfo)[];
  readonly receipt: ReceiptState;
  readonly history: readonly (HistoryLine)[];
  readonly pooled_msat: number;
  readonly audits: string | null;
  readonly standing: string;
  readonly premium_msat: number;
  readonly task_class: string;
  readonly constraints: readonly (string)[];
  readonly distinct: readonly (string)[];
  readonly priority: number;
  readonly deadline_ms: number | null;
  readonly strategy: string;
  readonly attempts_max: number;
  readonly marks_max: number;
  readonly published_as: readonly (string)[];
  readonly items: number | null;
  readonly proof_sha256: string | null;
  readonly items_completed: number | null;
}

/** A task in a list. */
export interface TaskLine {
  readonly task_id: string;
  readonly state: string;
  readonly outcome: string;
  readonly verdict: string;
  readonly gas: number | null;
  readonly replicas: number;
  readonly submitter: string;
  readonly submitted_ms: number;
  readonly audits: string | null;
  readonly items: number | null;
  readonly items_completed: number | null;
}

/** A module's log, and how the execution here ended. `agrees` says whether the ledger has the same end; null while it has none, or where the execution here was aborted, which `reason` then tells. */
export interface TaskLog {
  readonly task_id: string;
  readonly log: string;
  readonly agrees: boolean | null;
  readonly engine: string;
  readonly engine_version: string;
  readonly outcome: string;
  readonly reason: string;
  readonly gas: number | null;
  readonly output_sha256: string | null;
}

/** Tasks, the newest first; `total` counts all that match, `next` is where the list goes on. */
export interface Tasks {
  readonly tasks: readonly (TaskLine)[];
  readonly total: number;
  readonly next: string | null;
}

/** Post an event of kind `test` to the address that config.toml names, once, and say how. */
export type TestWebhook = Readonly<Record<string, never>>;

/** Pass credits of this node on to another. */
export interface TransferCredits {
  readonly to: string;
  readonly amount_msat: number;
}

/** Something that the node's owner should know of, and what to do about it. */
export interface Trouble {
  readonly kind: TroubleKind;
  readonly text: string;
  readonly hint: string;
}

/** What can be wrong with a node's part in the log, or with its receipts. */
export type TroubleKind = "anchor_late" | "backup_fails" | "chain_away" | "convicted" | "convicted_members" | "invisible" | "log_stands" | "no_quorum" | "outdated" | "peg_not_audited" | "peg_unsigned" | "profile_differs" | "vote_lost";

/** Let a pinned version go. */
export interface UnpinModule {
  readonly publisher: string;
  readonly name: string;
  readonly version: string;
}

/** A version that may go when nothing has used it for long. */
export interface Unpinned {
  readonly publisher: string;
  readonly name: string;
  readonly version: string;
}

/** What was found; `valid` if every check holds, `trust` says what is still to be believed. */
export interface Verified {
  readonly valid: boolean;
  readonly checks: readonly (CheckInfo)[];
  readonly trust: readonly (string)[];
}

/** Do the statements in a blame certificate hold? What they are about is not executed again. Whoever asks believes this node; `ambientctl blame verify` needs no node, and does execute it. */
export interface VerifyBlame {
  readonly blame: string;
  readonly cluster?: string | null;
}

/** Does a file of Bitcoin headers hold? Its tip is what others are to confirm. */
export interface VerifyHeaders {
  readonly headers: string;
}

/** Does a validity proof of an execution hold, and is it about these files? `image` names what was proven to run; without it the proof may be of any program. Whoever asks believes this node; `ambientctl proof verify` needs no node. */
export interface VerifyProof {
  readonly proof: string;
  readonly module?: string | null;
  readonly input?: string | null;
  readonly output?: string | null;
  readonly image?: string | null;
  readonly salt?: string | null;
}

/** Does a receipt file hold? Without a cluster's fingerprint it must be of this node's cluster. With a file of Bitcoin headers its anchor must be in their chain, with an output that must be the task's. Whoever asks believes this node; `ambientctl receipt verify` needs no node. */
export interface VerifyReceipt {
  readonly receipt: string;
  readonly headers?: string | null;
  readonly output?: string | null;
  readonly cluster?: string | null;
  readonly epoch?: string | null;
}

/** Does a witness's evidence show that members signed two receipt logs that cannot be one? */
export interface VerifySplit {
  readonly evidence: string;
}

/** One version as the ledger has it; `yanked` is why its publisher advises against it. */
export interface VersionInfo {
  readonly version: string;
  readonly module_sha256: string;
  readonly module_size_bytes: number;
  readonly manifest_sha256: string;
  readonly published_ms: number;
  readonly yanked: string;
}

/** Say whether a node shall sit in the committee; no name means this node. */
export interface VoteOnSeat {
  readonly wish: string;
  readonly node?: string | null;
}

/** Answer when the task is final (or anchored), or as it stands when the time is over. A caller that names what it has `seen`, a state of the task (or of its receipt, when it waits for that), is answered as soon as there is another. */
export interface WaitForTask {
  readonly task: string;
  readonly until?: string;
  readonly seen?: string;
  readonly timeout_ms?: number;
}

/** What the receiver answered; `status` is null where it gave no answer. */
export interface WebhookTested {
  readonly url: string;
  readonly event: string;
  readonly status: number | null;
  readonly delivered: boolean;
  readonly text: string;
}

/** Why a task is in its state, what it waits for and until when (block time). */
export interface Why {
  readonly task_id: string;
  readonly state: string;
  readonly text: string;
  readonly waits_for: string;
  readonly until_ms: number | null;
  readonly counts: readonly (StandingCount)[];
  readonly nodes: readonly (NodeWhy)[];
  readonly slots: readonly (SlotWhy)[];
}

/** Send some of this node's credits to a Bitcoin address; the fee goes off the amount. */
export interface Withdraw {
  readonly address: string;
  readonly amount_sat: number;
  readonly fee_sat: number;
}

/** A peg-out before anything is moved: what goes off the balance, and what arrives of it. */
export interface WithdrawalQuote {
  readonly amount_sat: number;
  readonly fee_sat: number;
  readonly arrives_sat: number;
}

/** What one worker was paid. */
export interface WorkerPay {
  readonly worker: string;
  readonly amount_msat: number;
}

/** Advise against a version that this node published; it stays with what it names. */
export interface YankModule {
  readonly publisher: string;
  readonly name: string;
  readonly version: string;
  readonly reason: string;
}

/** What each operation asks for and answers. */
export interface Operations {
  "account.bond": { request: RaiseBond; answer: AccountMoved };
  "account.history": { request: ShowHistory; answer: History };
  "account.list": { request: ListAccounts; answer: Accounts };
  "account.show": { request: ShowAccount; answer: Account };
  "account.transfer": { request: TransferCredits; answer: AccountMoved };
  "account.unbond": { request: AskBondBack; answer: AccountMoved };
  "anchor.plan": { request: PlanAnchors; answer: AnchorPlan };
  "anchor.retry": { request: RetryAnchors; answer: AnchorsRetried };
  "anchor.status": { request: GetAnchors; answer: Anchors };
  "backup.create": { request: CreateBackup; answer: BackupMade };
  "backup.look": { request: LookAtBackups; answer: CopiesUnderWay };
  "blame.export": { request: ExportBlame; answer: BlameFileReply };
  "blame.list": { request: ListBlames; answer: Blames };
  "blame.verify": { request: VerifyBlame; answer: Verified };
  "blob.get": { request: GetBlob; answer: BlobReply };
  "blob.put": { request: PutBlob; answer: BlobKept };
  "cluster.invite": { request: Invite; answer: Invitation };
  "cluster.show": { request: ShowCluster; answer: Cluster };
  "doctor.look": { request: LookRound; answer: Looks };
  "events": { request: FollowEvents; answer: Event };
  "fl.bound": { request: BoundBudget; answer: Budget };
  "fl.budget": { request: GetBudget; answer: Budget };
  "fl.export": { request: ExportModel; answer: ModelFile };
  "fl.join": { request: JoinStudy; answer: StudyInfo };
  "fl.leave": { request: LeaveStudy; answer: StudyInfo };
  "fl.list": { request: ListStudies; answer: Studies };
  "fl.receipt": { request: GetRound; answer: RoundFileReply };
  "fl.show": { request: ShowStudy; answer: StudyDetail };
  "fl.start": { request: StartStudy; answer: StudyInfo };
  "fl.stop": { request: StopStudy; answer: StudyInfo };
  "headers.verify": { request: VerifyHeaders; answer: Verified };
  "image.name": { request: NameImage; answer: ImageInfo };
  "image.show": { request: ShowImage; answer: ImageInfo };
  "links": { request: ListLinks; answer: LinksTold };
  "log.update": { request: GetLogUpdate; answer: LogUpdateReply };
  "member.ask": { request: AskForSeat; answer: SeatSaid };
  "member.list": { request: ListMembers; answer: Members };
  "member.vote": { request: VoteOnSeat; answer: SeatSaid };
  "module.bring": { request: BringModule; answer: ModuleInfo };
  "module.list": { request: ListModules; answer: Modules };
  "module.pin": { request: PinModule; answer: ModuleInfo };
  "module.publish": { request: PublishModule; answer: ModulePublished };
  "module.show": { request: ShowModule; answer: ModuleInfo };
  "module.unpin": { request: UnpinModule; answer: Unpinned };
  "module.yank": { request: YankModule; answer: ModuleInfo };
  "node.show": { request: ShowNode; answer: NodeInfo };
  "nodes": { request: ListNodes; answer: Nodes };
  "owner.set": { request: SetOwner; answer: OwnerReply };
  "owner.show": { request: ShowOwner; answer: OwnerReply };
  "pause": { request: Pause; answer: OwnerReply };
  "peg.address": { request: GetPegAddress; answer: PegAddressReply };
  "peg.audit": { request: AuditPeg; answer: PegAudit };
  "peg.list": { request: ListPeg; answer: PegList };
  "peg.quote": { request: QuoteWithdrawal; answer: WithdrawalQuote };
  "peg.raise": { request: RaiseFee; answer: PaymentInfo };
  "peg.return": { request: ReturnPegIn; answer: ReturnInfo };
  "peg.return.quote": { request: QuoteReturn; answer: ReturnInfo };
  "peg.withdraw": { request: Withdraw; answer: PaymentInfo };
  "ping": { request: Ping; answer: Pong };
  "proof.verify": { request: VerifyProof; answer: Verified };
  "ready": { request: GetReadiness; answer: Readiness };
  "receipt.get": { request: GetReceipt; answer: ReceiptFileReply };
  "receipt.verify": { request: VerifyReceipt; answer: Verified };
  "resume": { request: Resume; answer: OwnerReply };
  "split.verify": { request: VerifySplit; answer: Verified };
  "status": { request: GetStatus; answer: Status };
  "task.cancel": { request: CancelTask; answer: Task };
  "task.list": { request: ListTasks; answer: Tasks };
  "task.logs": { request: GetTaskLog; answer: TaskLog };
  "task.material": { request: GetMaterial; answer: Material };
  "task.output": { request: GetOutput; answer: Output };
  "task.quote": { request: QuoteTask; answer: Quote };
  "task.show": { request: ShowTask; answer: Task };
  "task.submit": { request: SubmitTask; answer: Submitted };
  "task.wait": { request: WaitForTask; answer: Task };
  "task.why": { request: ExplainTask; answer: Why };
  "telemetry.show": { request: ShowTelemetry; answer: NodeTelemetry };
  "webhook.test": { request: TestWebhook; answer: WebhookTested };
}

/** Where each operation is, below the API's base path. */
export const ROUTES = {
  "account.bond": { method: "POST", path: "/account/bond" },
  "account.history": { method: "GET", path: "/account/history" },
  "account.list": { method: "GET", path: "/accounts" },
  "account.show": { method: "GET", path: "/account" },
  "account.transfer": { method: "POST", path: "/account/transfer" },
  "account.unbond": { method: "POST", path: "/account/unbond" },
  "anchor.plan": { method: "GET", path: "/anchors/plan" },
  "anchor.retry": { method: "POST", path: "/anchors/retry" },
  "anchor.status": { method: "GET", path: "/anchors" },
  "backup.create": { method: "POST", path: "/backups" },
  "backup.look": { method: "GET", path: "/backups" },
  "blame.export": { method: "GET", path: "/blames/{about}" },
  "blame.list": { method: "GET", path: "/blames" },
  "blame.verify": { method: "POST", path: "/blames/verify" },
  "blob.get": { method: "GET", path: "/blobs/{sha256}" },
  "blob.put": { method: "PUT", path: "/blobs/{sha256}" },
  "cluster.invite": { method: "POST", path: "/invitations" },
  "cluster.show": { method: "GET", path: "/cluster" },
  "doctor.look": { method: "GET", path: "/doctor/look" },
  "events": { method: "GET", path: "/events" },
  "fl.bound": { method: "POST", path: "/privacy" },
  "fl.budget": { method: "GET", path: "/privacy" },
  "fl.export": { method: "GET", path: "/studies/{study}/model" },
  "fl.join": { method: "POST", path: "/studies/{study}/join" },
  "fl.leave": { method: "POST", path: "/studies/{study}/leave" },
  "fl.list": { method: "GET", path: "/studies" },
  "fl.receipt": { method: "GET", path: "/studies/{study}/rounds/{round}" },
  "fl.show": { method: "GET", path: "/studies/{study}" },
  "fl.start": { method: "POST", path: "/studies" },
  "fl.stop": { method: "POST", path: "/studies/{study}/stop" },
  "headers.verify": { method: "POST", path: "/headers/verify" },
  "image.name": { method: "POST", path: "/images" },
  "image.show": { method: "GET", path: "/images/{module_sha256}" },
  "links": { method: "GET", path: "/links" },
  "log.update": { method: "GET", path: "/log/update" },
  "member.ask": { method: "POST", path: "/members/ask" },
  "member.list": { method: "GET", path: "/members" },
  "member.vote": { method: "POST", path: "/members/vote" },
  "module.bring": { method: "POST", path: "/modules/{publisher}/{name}/bring" },
  "module.list": { method: "GET", path: "/modules" },
  "module.pin": { method: "POST", path: "/modules/{publisher}/{name}/pin" },
  "module.publish": { method: "POST", path: "/modules" },
  "module.show": { method: "GET", path: "/modules/{publisher}/{name}" },
  "module.unpin": { method: "POST", path: "/modules/{publisher}/{name}/unpin" },
  "module.yank": { method: "POST", path: "/modules/{publisher}/{name}/yank" },
  "node.show": { method: "GET", path: "/nodes/{node}" },
  "nodes": { method: "GET", path: "/nodes" },
  "owner.set": { method: "POST", path: "/owner" },
  "owner.show": { method: "GET", path: "/owner" },
  "pause": { method: "POST", path: "/owner/pause" },
  "peg.address": { method: "POST", path: "/peg/address" },
  "peg.audit": { method: "GET", path: "/peg/audit" },
  "peg.list": { method: "GET", path: "/peg" },
  "peg.quote": { method: "POST", path: "/peg/quotes" },
  "peg.raise": { method: "POST", path: "/peg/raise" },
  "peg.return": { method: "POST", path: "/peg/returns" },
  "peg.return.quote": { method: "POST", path: "/peg/return-quotes" },
  "peg.withdraw": { method: "POST", path: "/peg/withdraw" },
  "ping": { method: "GET", path: "/health" },
  "proof.verify": { method: "POST", path: "/proofs/verify" },
  "ready": { method: "GET", path: "/ready" },
  "receipt.get": { method: "GET", path: "/tasks/{task}/receipt" },
  "receipt.verify": { method: "POST", path: "/receipts/verify" },
  "resume": { method: "POST", path: "/owner/resume" },
  "split.verify": { method: "POST", path: "/splits/verify" },
  "status": { method: "GET", path: "/status" },
  "task.cancel": { method: "POST", path: "/tasks/{task}/cancel" },
  "task.list": { method: "GET", path: "/tasks" },
  "task.logs": { method: "POST", path: "/tasks/{task}/logs" },
  "task.material": { method: "POST", path: "/tasks/{task}/material" },
  "task.output": { method: "GET", path: "/tasks/{task}/output" },
  "task.quote": { method: "POST", path: "/quotes" },
  "task.show": { method: "GET", path: "/tasks/{task}" },
  "task.submit": { method: "POST", path: "/tasks" },
  "task.wait": { method: "GET", path: "/tasks/{task}/wait" },
  "task.why": { method: "GET", path: "/tasks/{task}/why" },
  "telemetry.show": { method: "GET", path: "/telemetry/{node}" },
  "webhook.test": { method: "POST", path: "/webhook/test" },
} as const;
