// Types of the HTTP API of recsys, written by `make types` from its OpenAPI document.
//
// `Operations["similar_products"]["response"]` is the body of a response, `Problem` that of an error.

/** An account as administrators see it. */
export interface AccountOut {
  id: number;
  email: string;
  username: string;
  full_name: string;
  is_active: boolean | null;
  is_admin: boolean | null;
  last_seen: string | null;
  created_at: string | null;
}

/** Something one did with one's account. */
export interface ActivityOut {
  id: number;
  activity_type: string;
  details: Record<string, unknown>;
  timestamp: string | null;
}

/** Where a parcel goes. */
export interface AddressIn {
  first_name: string;
  last_name: string;
  company?: string | null;
  address1: string;
  address2?: string | null;
  city: string;
  province?: string | null;
  country: string;
  zip: string;
  phone?: string | null;
  is_default?: boolean;
}

/** A saved address of a user, or the address of an order. */
export interface AddressOut {
  id: number;
  first_name: string;
  last_name: string;
  company: string | null;
  address1: string;
  address2: string | null;
  city: string;
  province: string | null;
  country: string;
  zip: string;
  phone: string | null;
  is_default: boolean | null;
}

/** A change of stock by hand. */
export interface AdjustIn {
  change: number;
  reason?: string;
  notes?: string | null;
}

/** Lists of one arm; `fallbacks` are by another model than the arm's, `late` missed the deadline. */
export interface ArmCountOut {
  arm: ArmDesign;
  lists: number;
  users: number;
  guests: number;
  fallbacks: number;
  late: number;
  /** 99th percentile of the time of a list, in ms. */
  p99_ms: number | null;
}

/** One arm: its name, its share of the visitors, and what it changes. */
export interface ArmDesign {
  name: string;
  share: number;
  variant?: Variant;
}

/** A metric in which no arm may lose more than `largest_drop` of the control's mean, else it stops. */
export interface ArmGuardrail {
  metric: "clicked" | "carted" | "bought" | "revenue" | "spent";
  largest_drop: number;
}

/** One try to get a payment through its gateway. */
export interface AttemptOut {
  attempt_number: number;
  status: string;
  failure_reason: string | null;
  created_at: string | null;
}

/** Where the bill goes; its country is compared with where the parcel goes. */
export interface BillingAddress {
  name: string;
  address1: string;
  city: string;
  zip: string;
  country: string;
}

/** The number of items that one bot sent on one day. */
export interface BotHitsOut {
  date: string;
  bot: string;
  hits: number;
}

/** One maker or label. */
export interface BrandIn {
  name: string;
  /** Default: made from the name. */
  slug?: string | null;
  logo_url?: string | null;
  description?: string | null;
  website_url?: string | null;
  is_active?: boolean;
}

/** One maker or label. */
export interface BrandOut {
  id: number;
  name: string;
  slug: string;
  logo_url: string | null;
  description: string | null;
  website_url: string | null;
  is_active: boolean | null;
}

/** Why the order is no longer wanted. */
export interface CancelIn {
  reason: string;
}

/** `category`, `brand`: so many of each one; `together`: so many of all that the rule is about. */
export type CapBy = "category" | "brand" | "together";

/** So many pieces of a product, or of one of its variants. */
export interface CartItemIn {
  product_id: number | string | Sku;
  /** Optional where the product has at most one variant. */
  variant_id?: number | string | Sku | null;
  quantity?: number;
}

/** One line of a cart, at today's price. */
export interface CartLineOut {
  product_id: number;
  variant_id: number | null;
  name: string;
  sku: string | null;
  quantity: number;
  unit_price: string;
  price: string;
}

/** A cart; what can no longer be bought is named and left out of the sum. */
export interface CartOut {
  lines: Array<CartLineOut>;
  subtotal: string;
  currency: string;
  /** Ids of removed products that are no longer sold. */
  unavailable: Array<number>;
}

/** One node of the category tree. */
export interface CategoryIn {
  name: string;
  /** Default: made from the name. */
  slug?: string | null;
  parent_id?: number | string | Slug | Name | null;
  description?: string | null;
  image_url?: string | null;
  is_active?: boolean;
  sort_order?: number;
}

/** One node of the category tree, with what is under it. */
export interface CategoryOut {
  id: number;
  name: string;
  slug: string;
  parent_id: number | null;
  description: string | null;
  image_url: string | null;
  is_active: boolean | null;
  children?: Array<CategoryOut>;
}

/** The channels by which the caller wants notifications; `kinds` switches off single kinds. */
export interface ChannelsIn {
  email?: boolean;
  sms?: boolean;
  push?: boolean;
  in_app?: boolean;
  kinds?: Record<string, unknown>;
}

/** The current choice of channels. */
export interface ChannelsOut {
  email?: boolean;
  sms?: boolean;
  push?: boolean;
  in_app?: boolean;
  kinds?: Record<string, unknown>;
}

/** Orders what is in the caller's cart. */
export interface CheckoutIn {
  /** Needed from guests; a user's own address is the default. */
  email?: string | null;
  shipping_address?: AddressIn | null;
  /** A saved address of the user. */
  shipping_address_id?: number | null;
  discount_code?: string | null;
  notes?: string | null;
}

/** A product that was found, with the fields that `fields` asks for. */
export interface ChosenFoundProduct {
  id: number;
  sku: string | null;
  name?: string | null;
  slug?: string | null;
  price?: string | null;
  compare_price?: string | null;
  currency?: string | null;
  image?: string | null;
  url?: string | null;
  brand?: string | null;
  category?: string | null;
  stock?: "in_stock" | "on_order" | "out_of_stock" | null;
  position: number;
  highlights?: Record<string, string>;
}

/** A product with the fields that `fields` asks for, and its ids. */
export interface ChosenProduct {
  id: number;
  sku: string | null;
  name?: string | null;
  slug?: string | null;
  price?: string | null;
  compare_price?: string | null;
  currency?: string | null;
  image?: string | null;
  url?: string | null;
  brand?: string | null;
  category?: string | null;
  stock?: "in_stock" | "on_order" | "out_of_stock" | null;
}

/** That a product of a search was opened; the same sent twice counts once. */
export interface ClickIn {
  search_id: string;
  query?: string;
  product_id: number | string | Sku;
  position?: number | null;
}

/** Why an experiment ends. */
export interface ConclusionIn {
  reason: string;
}

/** The code that was sent to the address. */
export interface ConfirmEmailIn {
  token: string;
}

/** What a visitor allows, by purpose. */
export interface ConsentBody {
  /** Lists from the visitor's own behaviour. */
  personalisation: boolean;
  /** Page views, events and impressions that name the visitor. */
  analytics: boolean;
}

/** A number of notifications. */
export interface Count {
  count: number;
}

/** The password shows that it is you. */
export interface DeactivateIn {
  password: string;
}

/** The size of a parcel with the product; other units than centimetres name themselves. */
export interface Dimensions {
  length: number;
  width: number;
  height: number;
  unit?: "mm" | "cm" | "m" | "in" | "ft";
}

/** Another address for the account; the password shows that it is you. */
export interface EmailIn {
  email: string;
  password: string;
}

/** One e-mail and its delivery status. */
export interface EmailLogOut {
  id: number;
  to_email: string;
  cc_email: Array<string> | null;
  bcc_email: Array<string> | null;
  subject: string;
  status: string;
  error_message: string | null;
  sent_at: string | null;
  created_at: string | null;
}

/** What was erased, without the person; `recsys privacy verify-receipt` checks the signature. */
export interface ErasureReceipt {
  format?: number;
  receipt: string;
  /** A keyed hash of the user's number: the same for the same person. */
  person: string;
  erased_at: string;
  /** `the person`, `user 7`, `key …` or `command`. */
  requested_by: string;
  places: Array<PlaceCount>;
  models: Array<ModelDate>;
  /** What is left to do, in words. */
  notes: Array<string>;
  /** HMAC-SHA-256 cut to 128 bits, hexadecimal. */
  signature?: string;
}

/** Everything that is decided before an experiment starts. `kind` is `arms`, where each visitor has the lists of one arm, or `interleaved`, where each list has products of both of two arms, which are compared by what visitors choose from it. There are two to eight `arms`, of which the first is the control; their shares add up to 1, and are a half each where interleaved. `unit` says who stays in one arm: a user on all devices (a guest by session until the log-in), or a session, before and after its log-in. `placements` are where the arms differ; without any, these are the placements that a variant concerns. `days` is the planned duration. Of a visitor, the `outcome_days` since the first list count. `planned_units` is the number of users or sessions that the plan expects; intervals are narrowest there. `limits` are for late, slow and failed lists in the last hour. Of interleaved lists, `credit` says what a success counts, and `traffic` is the share of the visitors who get them. */
export interface ExperimentDesign {
  kind?: "arms" | "interleaved";
  arms: Array<ArmDesign>;
  metric?: "clicked" | "carted" | "bought" | "revenue" | "spent";
  unit?: "user" | "session";
  placements?: Array<"for_you" | "similar" | "bought_together" | "buy_again" | "popular" | "trending" | "new_arrivals" | "because_you_viewed">;
  days?: number;
  outcome_days?: number;
  planned_units?: number;
  guardrails?: Array<ArmGuardrail>;
  limits?: ServiceLimits | null;
  credit?: "optimised" | "team_draft";
  /** Share of the visitors whose lists are interleaved. */
  traffic?: number;
}

/** One experiment with the lists of its arms. */
export interface ExperimentDetailOut {
  name: string;
  state: string;
  /** The model that served when it began. */
  control: string;
  design: ExperimentDesign;
  started_at: string;
  started_by: string;
  reason: string;
  ended_at: string | null;
  ended_by: string | null;
  conclusion: string | null;
  /** The arm that was kept. */
  winner: string | null;
  measured: MeasuredTest | null;
  outside: Array<OutsideLists>;
  answered: Array<ArmCountOut>;
}

/** A new experiment. The first arm of the design is the control. */
export interface ExperimentIn {
  name: string;
  reason: string;
  design: ExperimentDesign;
}

/** One experiment; `measured` is null before it was measured. */
export interface ExperimentOut {
  name: string;
  state: string;
  /** The model that served when it began. */
  control: string;
  design: ExperimentDesign;
  started_at: string;
  started_by: string;
  reason: string;
  ended_at: string | null;
  ended_by: string | null;
  conclusion: string | null;
  /** The arm that was kept. */
  winner: string | null;
  measured: MeasuredTest | null;
}

/** A value of a facet and the number of products that have it. */
export interface FacetOut {
  /** An id (category, brand), a tag, the start of a price range, or a minimum rating. */
  value: string;
  /** Label of the value. */
  name: string;
  count: number;
}

/** One piece of one's own feedback. */
export interface FeedbackOut {
  /** The shop's own id of the product. */
  sku?: string | null;
  id: number;
  product_id: number;
  recommendation_id: number | null;
  recommended: boolean;
  clicked: boolean;
  purchased: boolean;
  rating: number | null;
  feedback_type: string | null;
  text: string | null;
  created_at: string | null;
}

/** One part of the input that was not as expected. */
export interface FieldProblem {
  field: string;
  expected: string;
}

/** Conditions that a product must all fulfil. */
export interface FiltersIn {
  category?: Array<number | string | Slug | Name>;
  brand?: Array<number | string | Slug | Name>;
  min_price?: number | null;
  max_price?: number | null;
  tags?: Array<string>;
  in_stock?: boolean | null;
  created_since?: string | null;
  exclude?: Array<number | string | Sku>;
  attributes?: Record<string, unknown>;
}

/** How many products were filtered out, by reason, and how many are eligible. */
export interface FiltersOut {
  removed: Record<string, number>;
  qualified: number;
}

/** Why a payment looks suspicious. */
export interface FlagOut {
  id: number;
  payment_id: number | null;
  risk_score: string | null;
  flags: Record<string, unknown> | null;
  is_resolved: boolean | null;
  resolution_notes: string | null;
  created_at: string | null;
}

/** A product that was found. */
export interface FoundProduct {
  id: number;
  name: string;
  slug: string;
  sku: string | null;
  short_description: string | null;
  price: string;
  compare_price: string | null;
  category_id: number | null;
  brand_id: number | null;
  tags: Array<string> | null;
  status: string | null;
  is_featured: boolean | null;
  created_at: string | null;
  /** Position in the whole list, from 1; send it with a click. */
  position: number;
  /** Matched text by field, as safe HTML with `<mark>` as the only element. */
  highlights?: Record<string, string>;
}

/** A user that was found. */
export interface FoundUser {
  id: number;
  username: string;
  full_name: string;
  is_active: boolean | null;
  is_online: boolean | null;
  followers_count: number;
  following_count: number;
  /** Distance from the given place. */
  kilometres: number | null;
  created_at: string | null;
}

/** A guest session, for the header `X-Session-Id`. */
export interface GuestSessionOut {
  session_id: string;
}

/** `degraded`: lists are served, but less relevant or less fresh than usual. */
export interface Health {
  status: "ready" | "degraded" | "live";
  parts?: Record<string, PartOut>;
}

/** One picture of a product, or of one of its variants. */
export interface ImageIn {
  src: string;
  alt?: string | null;
  variant_id?: number | string | Sku | null;
  position?: number;
  is_primary?: boolean;
}

/** One picture. */
export interface ImageOut {
  /** The shop's own id of the variant. */
  sku?: string | null;
  id: number;
  src: string;
  alt: string | null;
  variant_id: number | null;
  is_primary: boolean | null;
}

/** One recommended product. */
export interface ItemOut {
  product_id: number;
  /** The shop's own id. */
  sku: string | null;
  name?: string;
  /** In the shop's currency: a JSON number of at most two decimals. */
  price?: number;
  /** By `fields`: the price before a reduction. */
  compare_price?: number | null;
  /** By `fields`: ISO 4217 code. */
  currency?: string | null;
  /** By `fields`: address of the primary picture. */
  image?: string | null;
  /** By `fields`: the page, by RECSYS_SHOP__PRODUCT_URL. */
  url?: string | null;
  /** By `fields`. */
  slug?: string | null;
  /** By `fields`: its name. */
  brand?: string | null;
  /** By `fields`: its name. */
  category?: string | null;
  /** By `fields`. */
  stock?: "in_stock" | "on_order" | null;
  /** The calibrated probability that the user chooses the product; of popular products the share of people who chose them recently; of similar products their similarity. */
  score: number;
  type: "collaborative" | "content_based" | "popular" | "similar";
  reason: ReasonOut;
  /** Only with `explain`: `raw_score` = `baseline` + what each product of the history `adds` + `others`, in the model's own units; null for products that no model ranked. */
  explanation?: Record<string, unknown> | null;
}

/** Which arm is kept, and why. */
export interface KeptArmIn {
  reason: string;
  arm: string;
}

/** An experiment that ended; `serving` is the model that serves everybody now. */
export interface KeptOut {
  name: string;
  state: string;
  /** The model that served when it began. */
  control: string;
  design: ExperimentDesign;
  started_at: string;
  started_by: string;
  reason: string;
  ended_at: string | null;
  ended_by: string | null;
  conclusion: string | null;
  /** The arm that was kept. */
  winner: string | null;
  measured: MeasuredTest | null;
  serving: string;
}

/** Entries in their order; `after` asks for those that follow. */
export interface LiveEntries {
  items: Array<LiveEntry>;
  after: string;
}

/** One entry of a stream of live data. */
export interface LiveEntry {
  id: string;
  fields: Record<string, string>;
}

/** One change of stock. */
export interface LogOut {
  /** The shop's own id of the variant. */
  sku?: string | null;
  id: number;
  variant_id: number | null;
  old_quantity: number | null;
  new_quantity: number | null;
  adjustment: number | null;
  reason: string | null;
  notes: string | null;
  created_at: string | null;
}

/** The token is shown once; what is stored of it is a hash. */
export interface LoggedIn {
  token: string;
  token_type?: "Bearer";
  expires_at: string;
  user_id: number;
  username: string;
}

/** An account, by its e-mail address or username, and its password. */
export interface LoginIn {
  /** E-mail address or username. */
  login: string;
  password: string;
  device_type?: string | null;
}

/** How a guest finds an order again. */
export interface LookupIn {
  order_number: string;
  email: string;
}

/** For whom a block is, and what it shows. */
export interface MailBlockIn {
  user_id: number | string | Username;
  /** Not `similar` or `bought_together`, which need a product. */
  placement?: Placement;
  /** Products side by side. */
  places?: number;
  /** Then it shows what is popular; default: the setting's. */
  valid_days?: number | null;
}

/** A block of its own, for one mail. */
export interface MailBlockOut {
  /** Of the block as HTML; with `/1.png` of a picture, with `/1` of a link. */
  address: string;
  /** What the mail has in its HTML: pictures and links. */
  html: string;
  expires_at: string;
}

/** One's own account. */
export interface MeOut {
  id: number;
  email: string;
  username: string;
  full_name: string;
  avatar_url: string | null;
  is_admin: boolean;
  bio: string | null;
  phone: string | null;
  address: string | null;
  date_of_birth: string | null;
  gender: string | null;
  last_seen: string | null;
  created_at: string | null;
  followers: number;
  following: number;
}

/** One arm of an experiment so far. `variant` says in words what it changes. The outcome of `counted` users is final, that of `waiting` users is not. `observed_share` is its share of all users, null without any; `fallback_share` is the share of its lists that another model made. */
export interface MeasuredArm {
  name: string;
  variant: string;
  share: number;
  counted: number;
  waiting: number;
  observed_share: number | null;
  fallback_share: number;
}

/** An arm less the control in one metric, with an interval that holds at all looks together. `metric` is its name, such as `bought`. Of interleaved lists, `control` and `treatment` are the mean credit of the arm, and `relative` is their difference as a part of both. `variance_removed` is the share of the variance that the users' past explained. */
export interface MeasuredDifference {
  metric: string;
  arm: string;
  control: number;
  treatment: number;
  difference: number;
  low: number;
  high: number;
  relative: number | null;
  p_value: number;
  variance_removed: number;
}

/** An experiment so far. `kind` is `arms` or `interleaved`; the visitors of both arms are the same where interleaved, and the observed shares are those of the teams that were first. `outcome` is `invalid`, `harmful`, `too_early`, `undecided`, `treatment`, `control` or `no_difference`; `reason` says it in a sentence, and `winner` is the arm to keep. `mismatch` says whether the arms' users differ from the shares by more than chance allows (sample ratio mismatch); `mismatch_p_value` is valid at every look. The first of `differences` are those of the metric that decides. */
export interface MeasuredTest {
  name: string;
  kind?: string;
  control: string;
  metric: string;
  unit: string;
  state: string;
  since: string;
  until: string;
  days: number;
  planned_days: number;
  outcome: string;
  winner: string | null;
  reason: string;
  arms: Array<MeasuredArm>;
  in_both: number;
  mismatch: boolean;
  mismatch_p_value: number | null;
  differences: Array<MeasuredDifference>;
}

/** What one member of the model says of the product. */
export interface MemberRank {
  member: string;
  /** In the member's own units; null where it has none. */
  score: number | null;
  /** Among all eligible products, from 1; null: not ranked. */
  position: number | null;
  /** Whether the product is a candidate by this member. */
  names: boolean;
}

/** A token that the gateway's own form gave for a card or an account. */
export interface MethodIn {
  token: string;
  billing_address?: BillingAddress | null;
  is_default?: boolean;
  /** The shop's own data about the method, such as a label. */
  metadata?: Record<string, unknown> | null;
}

/** A way to pay: its kind and last four digits, nothing that could be used elsewhere. */
export interface MethodOut {
  id: number;
  type: string;
  provider: string;
  brand: string | null;
  last4: string | null;
  expiry_month: number | null;
  expiry_year: number | null;
  is_default: boolean | null;
  billing_address: Record<string, unknown> | null;
  metadata?: Record<string, unknown> | null;
}

/** A model that learned from the person. */
export interface ModelDate {
  name: string;
  /** It is to be replaced by one without the person until then. */
  retrain_by: string;
}

/** A category or brand by its name. */
export interface Name {
  name: string;
}

/** A publishable key, with what is shown when it is created. */
export interface NewPublishableKeyOut {
  prefix: string;
  name: string;
  origins: Array<string>;
  state: string;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  /** For the HTML of the pages; shown this once. */
  key: string;
  /** Signs user tokens on the shop's server; never in a page. */
  signing_secret: string;
}

/** `user`: the user never touched it; `shop`: it arrived within the target's `created_within_days`. */
export type NewTo = "user" | "shop";

/** One message to the caller. */
export interface NotificationOut {
  id: number;
  type: string;
  title: string;
  message: string;
  data: Record<string, unknown> | null;
  is_read: boolean | null;
  created_at: string | null;
}

/** A message to one user, made from a template. */
export interface NotifyIn {
  user_id: number | string | Username;
  template: string;
  values?: Record<string, string | number | boolean | Array<string>>;
  kind?: string;
  channels?: Array<"in_app" | "email" | "sms">;
  /** Copies of the e-mail. */
  cc?: Array<string>;
  /** Blind copies. */
  bcc?: Array<string>;
}

/** The messages of one call of `notify`. */
export interface NotifyOut {
  /** Channel to the id of the notification or of its log row. Channels that the user switched off are absent. */
  messages: Record<string, number>;
}

/** Whether a list may repeat products; each value has its own ranking, calibration and stored list. `any`: bought products may appear if the repeat policy of their category allows; `new`: only products without an interaction of the user. */
export type Novelty = "any" | "new";

/** What administrators may change of an order at any time. */
export interface OrderChange {
  /** Notes that no customer sees; null removes them. */
  internal_notes: string | null;
}

/** One line of an order, with the name and price of that day. */
export interface OrderItemOut {
  product_id: number | null;
  variant_id: number | null;
  sku: string | null;
  name: string;
  title: string | null;
  quantity: number;
  /** Price of one piece. */
  price: string;
  total_discount: string | null;
}

/** An order, whole. */
export interface OrderOut {
  id: number;
  order_number: string;
  status: string | null;
  financial_status: string | null;
  fulfillment_status: string | null;
  currency: string | null;
  subtotal_price: string;
  total_discount: string | null;
  total_tax: string | null;
  total_shipping: string | null;
  total_price: string;
  created_at: string | null;
  email: string | null;
  notes: string | null;
  cancelled_at: string | null;
  cancel_reason: string | null;
  items: Array<OrderItemOut>;
  shipping_address: AddressOut | null;
  history: Array<StatusChange>;
  parcels: Array<ParcelOut>;
}

/** An order without its lines. */
export interface OrderSummary {
  id: number;
  order_number: string;
  status: string | null;
  financial_status: string | null;
  fulfillment_status: string | null;
  currency: string | null;
  subtotal_price: string;
  total_discount: string | null;
  total_tax: string | null;
  total_shipping: string | null;
  total_price: string;
  created_at: string | null;
}

/** Lists that an experiment does not compare, although they are of its placements. */
export interface OutsideLists {
  reason: string;
  /** Of the lists of its placements in the last 7 days, those under a name of their own not counted; null: not known. */
  share: number | null;
}

/** What the page displays. */
export interface PageContext {
  product_ids?: Array<number | string | Sku>;
  category_id?: number | string | Slug | Name | null;
}

/** The visitor, the page, and its lists; all fields are optional. */
export interface PageIn {
  user_id?: number | string | Username | null;
  session_id?: string | null;
  cart?: Array<number | string | Sku>;
  page?: PageContext;
  shelves?: Array<ShelfIn>;
  /** Fields of each item; the ids are always there. */
  fields?: Array<"sku" | "name" | "price" | "compare_price" | "currency" | "image" | "url" | "brand" | "category" | "stock" | "slug"> | null;
}

/** The lists of a page in the order of the request. */
export interface PageOut {
  request_id: string;
  shelves: Array<ShelfOut>;
}

export interface Page_AccountOut_ {
  items: Array<AccountOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_ActivityOut_ {
  items: Array<ActivityOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_BrandOut_ {
  items: Array<BrandOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_EmailLogOut_ {
  items: Array<EmailLogOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_FeedbackOut_ {
  items: Array<FeedbackOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_FlagOut_ {
  items: Array<FlagOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_LogOut_ {
  items: Array<LogOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_NotificationOut_ {
  items: Array<NotificationOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_OrderSummary_ {
  items: Array<OrderSummary>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_ProductDay_ {
  items: Array<ProductDay>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_ReviewOut_ {
  items: Array<ReviewOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_RuleChangeOut_ {
  items: Array<RuleChangeOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_RuleOut_ {
  items: Array<RuleOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_SalesDay_ {
  items: Array<SalesDay>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_SessionOut_ {
  items: Array<SessionOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_SmsLogOut_ {
  items: Array<SmsLogOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_SynonymChangeOut_ {
  items: Array<SynonymChangeOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_SynonymOut_ {
  items: Array<SynonymOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_Union_ProductListItem__ChosenProduct__ {
  items: Array<ProductListItem | ChosenProduct>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_UserBrief_ {
  items: Array<UserBrief>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

export interface Page_VisitOut_ {
  items: Array<VisitOut>;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

/** A parcel that leaves the house. */
export interface ParcelIn {
  carrier: string;
  tracking_number: string;
  tracking_url?: string | null;
  estimated_delivery?: string | null;
}

/** Where a parcel is, as its carrier says. */
export interface ParcelOut {
  id: number;
  tracking_number: string | null;
  tracking_url: string | null;
  carrier: string | null;
  current_location: string | null;
  estimated_delivery: string | null;
  delivered_at: string | null;
}

/** News of a parcel. */
export interface ParcelUpdate {
  current_location?: string | null;
  estimated_delivery?: string | null;
  delivered?: boolean;
}

/** The health of one part. */
export interface PartOut {
  well: boolean;
  detail: string;
}

/** The password of now and the one from now on. */
export interface PasswordIn {
  current_password: string;
  new_password: string;
}

/** The product on one page that was shown to the user. */
export interface PastImpression {
  request_id: string;
  /** The placement, or the name of the list on its page. */
  placement: string;
  shown_at: string;
  position: number;
  score: number;
  source: string;
  model: string | null;
  version: string | null;
  generation: number | null;
  arm: string | null;
}

/** A business rule that was in force on the placement, and whose target includes the product. */
export interface PastRule {
  rule_id: number;
  name: string;
  kind: string;
  /** The segment that the rule is for; null: everybody. */
  segment: string | null;
  /** Whether it was for this user or guest; null: the members of its segment were found again since, and who was one then is not kept. */
  held: boolean | null;
}

/** Whether a product was in the last list that was shown before a moment, and why not. */
export interface PastTrace {
  /** The shop's own id of the user. */
  username?: string | null;
  product_id: number;
  sku: string | null;
  name: string | null;
  user_id: number | null;
  session_id: string | null;
  at: string;
  /** When the list was shown: the last one before `at`. */
  shown_at: string;
  request_id: string;
  placement: string;
  source: string;
  model: string | null;
  version: string | null;
  generation: number | null;
  arm: string | null;
  /** Whether the product was on the page that was shown. */
  listed: boolean;
  position: number | null;
  score: number | null;
  /** The products of that page, in their order. */
  products: Array<number>;
  /** The position of the first of them: above 1 on later pages. */
  first_position: number;
  /** The scores that they were shown with. */
  scores: Array<number>;
  /** Of a list that was drawn at random: the rank that it was drawn from; null of others. */
  ranked_position: number | null;
  /** The step that lost it, as far as the tables prove it; `ranking` where they prove none. */
  lost_at: TraceStepName | null;
  summary: string;
  /** Rules about the product, as they were then. */
  rules: Array<PastRule>;
  /** The product in any list of the user up to that moment, newest first. */
  impressions: Array<PastImpression>;
  /** What the user did with the product, ever. */
  feedback: Array<ProductFeedback>;
}

/** Pays an order, whole, with a stored method or a token. */
export interface PaymentIn {
  order_id: number;
  payment_method_id?: number | null;
  token?: string | null;
  /** False holds the money until it is captured. */
  capture?: boolean;
}

/** One payment, its tries and its refunds. */
export interface PaymentOut {
  id: number;
  order_id: number | null;
  amount: string;
  currency: string | null;
  status: string | null;
  gateway: string;
  failure_reason: string | null;
  refunded: string;
  attempts: Array<AttemptOut>;
  refunds: Array<RefundOut>;
  created_at: string | null;
}

/** What an erasure did in one place. */
export interface PlaceCount {
  /** A table, a Redis key, a folder or the search index. */
  place: string;
  /** `removed`; `anonymised` where the rest must be kept. */
  outcome: string;
  /** Rows, keys, members, entries, files or records. */
  count: number;
}

/** One product of a list, and the rules that determined its position. */
export interface PlacedProductOut {
  product_id: number;
  sku: string | null;
  name: string | null;
  rules: Array<string>;
}

/** The kinds of lists; `serving.ranking.strategies` has the strategy of each. */
export type Placement = "for_you" | "similar" | "bought_together" | "buy_again" | "popular" | "trending" | "new_arrivals" | "because_you_viewed";

/** What an experiment of these terms needs. Of arms, `effect_percent` is the difference to find in percent of the baseline; of interleaved lists, by how many percent more of those who choose are for the better arm. `baseline` is the mean of the outcome now, null where it was not measured and not given. `needed` is the number of users of all arms together; where it is null, `explanation` says why, and is empty otherwise. `expected` is the number of users in the planned days, by the last 28 days, and `days_needed` is the number of days for `needed` users, by the same; both are null without a measurement. */
export interface PlannedSample {
  kind?: "arms" | "interleaved";
  metric: "clicked" | "carted" | "bought" | "revenue" | "spent";
  shares: Array<number>;
  days: number;
  effect_percent: number;
  baseline: number | null;
  needed: number | null;
  expected: number | null;
  enough: boolean | null;
  days_needed: number | null;
  explanation: string;
}

/** One product that is added, removed or moved; positions from 1, null where it is not in the list. */
export interface PositionChangeOut {
  product_id: number;
  sku: string | null;
  name: string | null;
  before: number | null;
  after: number | null;
}

/** What happened to one part of the request; `index` is its position in the request, from 0. */
export interface PostVerdict {
  index: number;
  /** `queued`: accepted, and stored once PostgreSQL, or the response it is about, is there. `ignored`: sent by a bot. */
  status: "stored" | "duplicate" | "refused" | "queued" | "ignored";
  /** The UUID that identifies the event; null when it was refused. */
  event_id?: string | null;
  /** Why it was refused or ignored, or what was changed in it. */
  reason?: string | null;
}

/** The verdicts, in the order of the request. */
export interface PostVerdicts {
  stored: number;
  duplicates: number;
  refused: number;
  /** Accepted while PostgreSQL takes no writes; stored later. */
  queued?: number;
  /** Sent by bots: counted, and not stored. */
  ignored?: number;
  verdicts: Array<PostVerdict>;
}

/** The preferences that a user set, and those that the shop inferred from the user's interactions. */
export interface PreferencesOut {
  explicit: TasteOut;
  inferred: TasteOut;
  updated_at: string | null;
}

/** What something may cost; an end that is left out is open. */
export interface PriceRange_Input {
  min?: number | string | null;
  max?: number | string | null;
}

/** What something may cost; an end that is left out is open. */
export interface PriceRange_Output {
  min?: string | null;
  max?: string | null;
}

/** RFC 9457 problem details; `errors` is there when parts of the input were wrong. */
export interface Problem {
  type?: string;
  title: string;
  status: number;
  detail: string;
  request_id: string | null;
  errors?: Array<FieldProblem> | null;
}

/** Products to read together: by number, by SKU, or both. */
export interface ProductBatchIn {
  ids?: Array<number>;
  skus?: Array<string>;
  /** Fields of each item, as in `fields=` of other routes. */
  fields?: Array<string> | null;
}

/** The active products in the order of the request, numbers first, and what was not found. */
export interface ProductBatchOut {
  items: Array<ProductListItem | ChosenProduct>;
  unknown_ids: Array<number>;
  unknown_skus: Array<string>;
}

/** Changes of a product; fields that are left out stay. */
export interface ProductChange {
  name?: string | null;
  description?: string | null;
  short_description?: string | null;
  sku?: string | null;
  price?: number | string | null;
  compare_price?: number | string | null;
  cost_price?: number | string | null;
  track_inventory?: boolean | null;
  weight?: number | string | null;
  dimensions?: Dimensions | null;
  seo_title?: string | null;
  seo_description?: string | null;
  category_id?: number | string | Slug | Name | null;
  brand_id?: number | string | Slug | Name | null;
  tags?: Array<string> | null;
  status?: "active" | "draft" | "archived" | null;
  is_featured?: boolean | null;
  embedding?: Array<number> | null;
}

/** One product's figures of one day. */
export interface ProductDay {
  /** The shop's own id of the product. */
  sku?: string | null;
  product_id: number;
  date: string;
  views: number;
  /** Views of different visitors. */
  unique_views: number;
  add_to_carts: number;
  /** Paid orders with the product. */
  purchases: number;
  /** The price of its lines after their discounts. */
  revenue: string;
  /** Purchases per unique view; at most 1, and 0 without views. */
  conversion_rate: string;
}

/** One thing that the user did with the product: an interaction, or feedback on a recommendation. */
export interface ProductFeedback {
  kind: "interaction" | "feedback";
  name: string;
  moment: string | null;
}

/** A new product. */
export interface ProductIn {
  name: string;
  /** Default: made from the name. */
  slug?: string | null;
  description?: string | null;
  short_description?: string | null;
  sku?: string | null;
  price: number | string;
  compare_price?: number | string | null;
  cost_price?: number | string | null;
  track_inventory?: boolean;
  weight?: number | string | null;
  dimensions?: Dimensions | null;
  seo_title?: string | null;
  seo_description?: string | null;
  category_id?: number | string | Slug | Name | null;
  brand_id?: number | string | Slug | Name | null;
  tags?: Array<string>;
  status?: "active" | "draft" | "archived";
  is_featured?: boolean;
  embedding?: Array<number> | null;
}

/** A product in a list. */
export interface ProductListItem {
  id: number;
  name: string;
  slug: string;
  sku: string | null;
  short_description: string | null;
  price: string;
  compare_price: string | null;
  category_id: number | null;
  brand_id: number | null;
  tags: Array<string> | null;
  status: string | null;
  is_featured: boolean | null;
  created_at: string | null;
}

/** A product, whole. */
export interface ProductOut {
  id: number;
  name: string;
  slug: string;
  sku: string | null;
  short_description: string | null;
  price: string;
  compare_price: string | null;
  category_id: number | null;
  brand_id: number | null;
  tags: Array<string> | null;
  status: string | null;
  is_featured: boolean | null;
  created_at: string | null;
  description: string | null;
  weight: string | null;
  dimensions: Record<string, unknown> | null;
  seo_title: string | null;
  seo_description: string | null;
  variants: Array<VariantOut>;
  images: Array<ImageOut>;
  /** Average of the approved reviews. */
  rating: string | null;
  /** Number of approved reviews. */
  reviews: number;
}

/** Why a product is in a list, or which step lost it. */
export interface ProductTrace {
  /** The shop's own id of the user. */
  username?: string | null;
  product_id: number;
  sku: string | null;
  name: string | null;
  user_id: number | null;
  session_id: string | null;
  placement: Placement;
  novelty: Novelty;
  /** Whether it is in the list, on whichever page. */
  listed: boolean;
  /** In the whole list, from 1; null where it is not listed. */
  position: number | null;
  /** The page of `limit` products that has it, from 1. */
  page: number | null;
  /** From 0 to 1, as in the list. */
  score: number | null;
  /** The reason that the list gives. */
  reason: string | null;
  /** The step that lost it; null where it is on the first page. `page`: it is on a later one. */
  lost_at: TraceStepName | null;
  /** The answer in one sentence. */
  summary: string;
  steps: Array<TraceStep>;
  source: string;
  model: string | null;
  version: string | null;
  generation: number | null;
  /** The arm of the running A/B test. */
  arm: string | null;
  /** When the list was made. */
  made_at: string | null;
  /** The position in a ranking of all eligible products now, before rules about positions; for a product that is not eligible, as if it were. */
  ranked_position: number | null;
  /** How many products that ranking has. */
  ranked_products: number;
  /** Empty where no model ranks this list by a history. */
  members: Array<MemberRank>;
  /** The parts of the model's score: baseline + parts + others = raw_score. */
  explanation: Record<string, unknown> | null;
  rules: Array<TouchingRule>;
  /** The user's own, newest first. */
  feedback: Array<ProductFeedback>;
}

/** One page of products that were found. */
export interface ProductsFound {
  /** Id of the search; send it with clicks. */
  search_id: string;
  /** The words of the query. */
  query: string;
  total: number;
  items: Array<FoundProduct | ChosenFoundProduct>;
  facets?: Record<string, Array<FacetOut>>;
  /** Suggested spelling of a misspelt query. */
  did_you_mean?: string | null;
  /** True: the products have only some of the words. */
  any_word?: boolean;
  /** True: ordered by the user's preferences. */
  personalised?: boolean;
  /** Reason why no search was made. */
  message?: string | null;
  /** Set while search is down: what is shown instead, and why. */
  degraded?: string | null;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

/** What is to change; a field that is left out stays, null empties it where it may be empty. */
export interface ProfileIn {
  username?: string | null;
  full_name?: string | null;
  avatar_url?: string | null;
  bio?: string | null;
  phone?: string | null;
  address?: string | null;
  date_of_birth?: string | null;
  gender?: string | null;
}

/** The same, with the id by which feedback refers to this response. */
export interface ProvenanceOut {
  placement: Placement;
  /** The former name of `placement`. @deprecated */
  shelf: Placement;
  /** `stored`: ranked earlier; `live`: ranked now by a model; `popular`: by counts. */
  source: "stored" | "live" | "popular";
  /** The registered model; null for popular lists. */
  model: string | null;
  version: string | null;
  /** The set of stored lists; null unless stored. */
  generation: number | null;
  /** The arm of an experiment; null while none runs. */
  arm: string | null;
  /** false: the deadline passed, and this is the best list available by then. */
  complete: boolean;
  /** Whether the order was drawn at random, so that other models can be evaluated on it. */
  explored: boolean;
  /** Products on this page whose places are reserved for new products; empty without any. */
  new_product_ids: Array<number>;
  /** Age of the data that the list is made from. */
  features_age_seconds: number;
  filters?: FiltersOut | null;
  request_id: string;
}

/** What everybody may see of a user. */
export interface PublicUser {
  id: number;
  username: string;
  full_name: string;
  avatar_url: string | null;
  bio: string | null;
  created_at: string | null;
  is_online: boolean;
  followers: number;
  following: number;
}

/** A new publishable key. */
export interface PublishableKeyIn {
  /** What the key is for. */
  name: string;
  /** Of the pages: scheme, host and port. */
  origins: Array<string>;
  expires_days?: number | null;
  /** Of one visitor's address; default: `api.page_rate_per_second`. */
  rate_per_second?: number | null;
}

/** A publishable key. */
export interface PublishableKeyOut {
  prefix: string;
  name: string;
  origins: Array<string>;
  state: string;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
}

/** What the cart would cost now: `total = subtotal - discount + tax + shipping`. */
export interface QuoteOut {
  subtotal: string;
  discount: string;
  tax: string;
  shipping: string;
  total: string;
  currency: string;
}

/** Why the product is in the list. */
export interface ReasonOut {
  /** `popular`, `because_bought`, `because_viewed`, `bought_before`, `viewed_before`, `similar_to`, `chosen`, `trending`, `new_arrival`, `bought_together` or `chosen_category`. */
  code: string;
  text: string;
  /** The products that the text names. */
  product_ids: Array<number>;
  /** Their SKUs, in the same order. */
  skus: Array<string | null>;
}

/** A list, best first, and where it comes from. */
export interface RecommendationsOut {
  items: Array<ItemOut>;
  /** The next page of this list; null on the last one. */
  next_cursor: string | null;
  provenance: ProvenanceOut;
}

/** Gives money back; without an amount, all that is left of the payment. */
export interface RefundIn {
  amount?: number | string | null;
  reason: string;
}

/** Money that went back, or is on its way. */
export interface RefundOut {
  id: number;
  payment_id: number | null;
  amount: string;
  currency: string | null;
  status: string | null;
  reason: string | null;
  created_at: string | null;
}

/** A new account. */
export interface RegisterIn {
  email: string;
  /** Upper and lower case are the same name; it is kept in lower case. */
  username: string;
  full_name: string;
  password: string;
}

/** What was asked for, in the spelling it is kept in; nothing of whether there was an account before. */
export interface RegisteredOut {
  email: string;
  username: string;
}

/** The code that was sent by e-mail, and the new password. */
export interface ResetIn {
  token: string;
  new_password: string;
}

/** The e-mail address of an account whose password is forgotten. */
export interface ResetRequestIn {
  email: string;
}

/** What somebody decided about a suspicious payment. */
export interface ResolutionIn {
  decision: "accept" | "reject";
  notes: string;
}

/** Goods that came back from the customer. */
export interface ReturnIn {
  reason: string;
  /** Whether the goods can be sold again. */
  restock?: boolean;
}

/** Stars and words about a product. */
export interface ReviewIn {
  rating: number;
  title?: string | null;
  review?: string | null;
  variant_id?: number | string | Sku | null;
}

/** A review; `is_verified_purchase` when its author bought the product here. */
export interface ReviewOut {
  /** The shop's own id of the product. */
  sku?: string | null;
  /** The shop's own id of the user. */
  username?: string | null;
  id: number;
  product_id: number | null;
  user_id: number | null;
  rating: number | null;
  title: string | null;
  review: string | null;
  is_verified_purchase: boolean | null;
  is_approved: boolean | null;
  helpful_count: number | null;
  created_at: string | null;
}

/** One change of a rule, by whom and when; `before` is null when it was made, `after` when deleted. */
export interface RuleChangeOut {
  id: number;
  rule_id: number;
  action: "created" | "replaced" | "deleted";
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  actor: string;
  changed_at: string;
}

/** A business rule; each kind takes its own parameters and no others. */
export interface RuleIn {
  /** Unique name of the rule. */
  name: string;
  kind: RuleKind;
  target?: TargetIn_Input;
  /** pin: position of its first product, from 1. */
  position?: number | null;
  /** boost: above 1; bury: below 1. Scores are multiplied by it. */
  factor?: number | null;
  /** cap: maximum number of the products in a list, on each page. */
  most?: number | null;
  /** cap: whether `most` counts per category, per brand or for all together. */
  cap_by?: CapBy | null;
  /** cap: true (the default of a new cap): the list becomes shorter rather than exceed `most`; false: the cap applies only while other products are available. */
  strict?: boolean | null;
  /** minimum_new: minimum share of new products in a list, if enough are eligible. */
  share?: number | null;
  /** minimum_new: `user`: products without interactions of the user; `shop`: products added within the target's created_within_days. */
  new_to?: NewTo | null;
  /** Kinds of lists that the rule applies to; null: all. */
  shelves?: Array<string> | null;
  /** Names of lists on a page that the rule applies to; null: all. */
  placements?: Array<string> | null;
  /** The rule applies only in arms of an experiment that name this set; null: for everybody. */
  rule_set?: string | null;
  /** For whom the rule holds: the name of a stored segment, `guests` or `known-users`; null: for everybody. */
  segment?: string | null;
  /** Start; null: at once. */
  starts_at?: string | null;
  /** End, exclusive; null: none. */
  ends_at?: string | null;
  /** Of two conflicting rules the one with the higher priority wins. */
  priority?: number;
  enabled?: boolean;
}

/** What a rule does; docs/rules.md tells how they act together. */
export type RuleKind = "pin" | "boost" | "bury" | "hide" | "cap" | "minimum_new";

/** A stored rule; send `version` back as `If-Match` to replace it. */
export interface RuleOut {
  /** Unique name of the rule. */
  name: string;
  kind: RuleKind;
  target?: TargetIn_Output;
  /** pin: position of its first product, from 1. */
  position?: number | null;
  /** boost: above 1; bury: below 1. Scores are multiplied by it. */
  factor?: number | null;
  /** cap: maximum number of the products in a list, on each page. */
  most?: number | null;
  /** cap: whether `most` counts per category, per brand or for all together. */
  cap_by?: CapBy | null;
  /** cap: true (the default of a new cap): the list becomes shorter rather than exceed `most`; false: the cap applies only while other products are available. */
  strict?: boolean | null;
  /** minimum_new: minimum share of new products in a list, if enough are eligible. */
  share?: number | null;
  /** minimum_new: `user`: products without interactions of the user; `shop`: products added within the target's created_within_days. */
  new_to?: NewTo | null;
  /** Kinds of lists that the rule applies to; null: all. */
  shelves?: Array<string> | null;
  /** Names of lists on a page that the rule applies to; null: all. */
  placements?: Array<string> | null;
  /** The rule applies only in arms of an experiment that name this set; null: for everybody. */
  rule_set?: string | null;
  /** For whom the rule holds: the name of a stored segment, `guests` or `known-users`; null: for everybody. */
  segment?: string | null;
  /** Start; null: at once. */
  starts_at?: string | null;
  /** End, exclusive; null: none. */
  ends_at?: string | null;
  /** Of two conflicting rules the one with the higher priority wins. */
  priority?: number;
  enabled?: boolean;
  target_own_ids?: TargetOwnIds | null;
  id: number;
  version: number;
  created_by: string;
  created_at: string;
  updated_at: string;
}

/** A draft of a rule, and the list to apply it to. */
export interface RulePreviewIn {
  rule: RuleIn;
  /** The rule that the draft would replace, if any. */
  rule_id?: number | null;
  shelf?: Placement;
  /** The user of the list; default: a list that is the same for everybody. */
  user_id?: number | string | Username | null;
  product_ids?: Array<number | string | Sku>;
  limit?: number;
}

/** The list without the draft, the list with it, and the differences. */
export interface RulePreviewOut {
  before: Array<PlacedProductOut>;
  after: Array<PlacedProductOut>;
  changes: Array<PositionChangeOut>;
}

/** A set of rules: how many it has, how many of them are enabled, and which experiments compare it. */
export interface RuleSetOut {
  name: string;
  rules: number;
  enabled: number;
  experiments: Array<string>;
}

/** The shop's sales of one day, in its time zone and currency: paid orders that were not cancelled. */
export interface SalesDay {
  date: string;
  /** The amounts paid, refunds not subtracted. */
  total_sales: string;
  order_count: number;
  average_order_value: string;
  unique_customers: number;
  /** Those of them who had bought before that day. */
  returning_customers: number;
  /** Share of the day's visits in which a paid order was placed. */
  conversion_rate: string;
}

/** The script of web pages. */
export interface Script {
  /** Of this version, for good. */
  path: string;
  /** Leads to the version of this server. */
  stable_path: string;
  /** For the attribute `integrity` of a script element with `path` (Subresource Integrity). */
  integrity: string;
  bytes: number;
  gzip_bytes: number;
}

/** The questions that a segment answers. */
export type SegmentKind = "buyers" | "look-alikes" | "next-category" | "replenishment" | "price-drop" | "back-in-stock";

/** One user of a segment, and the product or category that it is about. */
export interface SegmentMemberOut {
  /** The shop's own id of the product. */
  sku?: string | null;
  /** The shop's own id of the user. */
  username?: string | null;
  user_id: number;
  product_id: number | null;
  /** The name of the product. */
  product: string | null;
  category_id: number | null;
  /** The shop's own id of the category. */
  category_slug: string | null;
  /** The name of the category. */
  category: string | null;
  /** The chance that the user chooses the product, from 0 to 1. */
  chance: number | null;
  /** Of a look-alike to the given users, from 0 to 1. */
  similarity: number | null;
  /** When it is due, or when the user last looked at the product. */
  at: string | null;
}

/** The users of a segment, the most likely first. */
export interface SegmentOut {
  kind: SegmentKind;
  /** By which model; null where none was used. */
  model: string | null;
  /** From which moment days are counted; null where none are. */
  as_of: string | null;
  /** Whether this is the newest interaction's moment, since no interaction is younger. */
  from_old_data: boolean;
  members: Array<SegmentMemberOut>;
}

/** What visitors of an arm may notice of its service, else the experiment stops; null for no limit. */
export interface ServiceLimits {
  /** Share of lists that miss the deadline. */
  late_share?: number | null;
  /** 99th percentile of the time of a list, in ms. */
  p99_ms?: number | null;
  /** Share of lists that another model had to make. */
  fallback_share?: number | null;
}

/** A device that is logged in. */
export interface SessionOut {
  id: number;
  device_type: string | null;
  device_info: Record<string, unknown>;
  ip_address: string | null;
  last_activity: string | null;
  created_at: string | null;
  expires_at: string;
  /** Whether it is the session of this request. */
  current: boolean;
}

/** One list of a page. */
export interface ShelfIn {
  /** The page's name of the list, for rules about it; default: the placement. */
  name?: string | null;
  /** Which list; `shelf` is its former name. */
  placement?: Placement;
  limit?: number | null;
  novelty?: Novelty;
  filters?: FiltersIn;
  diversity?: number;
  explain?: boolean;
  country?: string | null;
}

/** One list of a page; no product is in two of them. */
export interface ShelfOut {
  name: string;
  items: Array<ItemOut>;
  provenance: ShelfProvenanceOut;
}

/** Where a list comes from. */
export interface ShelfProvenanceOut {
  placement: Placement;
  /** The former name of `placement`. @deprecated */
  shelf: Placement;
  /** `stored`: ranked earlier; `live`: ranked now by a model; `popular`: by counts. */
  source: "stored" | "live" | "popular";
  /** The registered model; null for popular lists. */
  model: string | null;
  version: string | null;
  /** The set of stored lists; null unless stored. */
  generation: number | null;
  /** The arm of an experiment; null while none runs. */
  arm: string | null;
  /** false: the deadline passed, and this is the best list available by then. */
  complete: boolean;
  /** Whether the order was drawn at random, so that other models can be evaluated on it. */
  explored: boolean;
  /** Products on this page whose places are reserved for new products; empty without any. */
  new_product_ids: Array<number>;
  /** Age of the data that the list is made from. */
  features_age_seconds: number;
  filters?: FiltersOut | null;
}

/** A product or variant by its SKU. */
export interface Sku {
  sku: string;
}

/** A category or brand by its slug. */
export interface Slug {
  slug: string;
}

/** One text message and its delivery status. */
export interface SmsLogOut {
  id: number;
  phone_number: string;
  message: string;
  status: string;
  error_message: string | null;
  sent_at: string | null;
  delivered_at: string | null;
  created_at: string | null;
}

/** The delivery report of a provider of text messages. */
export interface SmsReceiptIn {
  /** False when the message cannot be delivered. */
  delivered: boolean;
  error_message?: string | null;
}

/** A whole order as administrators see it. */
export interface StaffOrderOut {
  id: number;
  order_number: string;
  status: string | null;
  financial_status: string | null;
  fulfillment_status: string | null;
  currency: string | null;
  subtotal_price: string;
  total_discount: string | null;
  total_tax: string | null;
  total_shipping: string | null;
  total_price: string;
  created_at: string | null;
  email: string | null;
  notes: string | null;
  cancelled_at: string | null;
  cancel_reason: string | null;
  items: Array<OrderItemOut>;
  shipping_address: AddressOut | null;
  history: Array<StatusChange>;
  parcels: Array<ParcelOut>;
  internal_notes: string | null;
}

/** An experiment with the lists that it does not compare; none after its end. */
export interface StartedExperimentOut {
  name: string;
  state: string;
  /** The model that served when it began. */
  control: string;
  design: ExperimentDesign;
  started_at: string;
  started_by: string;
  reason: string;
  ended_at: string | null;
  ended_by: string | null;
  conclusion: string | null;
  /** The arm that was kept. */
  winner: string | null;
  measured: MeasuredTest | null;
  outside: Array<OutsideLists>;
}

/** How far the order as a whole is. */
export type Status = "pending" | "processing" | "shipped" | "delivered" | "completed" | "cancelled";

/** One change of the order's status. */
export interface StatusChange {
  status: string;
  notes: string | null;
  notify_customer: boolean | null;
  created_at: string | null;
}

/** A step of the order that the shop takes by hand. */
export interface StatusIn {
  status: "processing" | "delivered" | "completed";
  notes?: string | null;
  notify_customer?: boolean;
}

/** The pieces of a product, all variants together. */
export interface StockOut {
  /** The shop's own id of the product. */
  sku?: string | null;
  product_id: number;
  quantity: number;
}

/** Which users: those of a kind of segment, or given ones. */
export interface StoredSegmentIn {
  /** Null: `user_ids` are the members. */
  kind?: SegmentKind | null;
  product_ids?: Array<number | string | Sku>;
  category_id?: number | string | Slug | Name | null;
  brand_id?: number | string | Slug | Name | null;
  user_ids?: Array<number | string | Username>;
  /** buyers: only users who never looked at the product. */
  new?: boolean;
  /** Due, or changed, within so many days. */
  days?: number;
  looked_days?: number;
  limit?: number;
}

/** A stored segment. */
export interface StoredSegmentOut {
  name: string;
  /** How its members are found; kind `given`: they were given. */
  definition: Record<string, unknown>;
  members: number;
  created_by: string;
  created_at: string;
  /** When its members were found. */
  refreshed_at: string | null;
  /** Why the last refresh failed; the earlier members stay. */
  problem: string | null;
  /** The business rules that are for it. */
  rules: Array<string>;
}

/** A product's name that completes the input. */
export interface Suggestion {
  /** The shop's own id of the product. */
  sku?: string | null;
  text: string;
  product_id: number;
}

/** Completions, the more popular first. */
export interface Suggestions {
  suggestions: Array<Suggestion>;
  /** Reason why no search was made. */
  message?: string | null;
  /** Search is down. */
  degraded?: string | null;
}

/** One change of a group; `before` is null for a creation, `after` for a deletion. */
export interface SynonymChangeOut {
  id: number;
  synonym_id: number;
  action: "created" | "replaced" | "deleted";
  before: Array<string> | null;
  after: Array<string> | null;
  actor: string;
  changed_at: string;
}

/** Phrases with the same meaning. */
export interface SynonymIn {
  phrases: Array<string>;
}

/** A group of phrases with the same meaning. */
export interface SynonymOut {
  id: number;
  phrases: Array<string>;
  version: number;
  created_by: string;
  created_at: string;
  updated_at: string;
}

/** The products of a rule: those that meet all given conditions; without conditions every product. */
export interface TargetIn_Input {
  /** Ids of products; a pin places them in this order. */
  product_ids?: Array<number | string | Sku> | null;
  /** A category with its subcategories. */
  category_id?: number | string | Slug | Name | null;
  brand_id?: number | string | Slug | Name | null;
  tag?: string | null;
  /** In the shop's currency, inclusive. */
  min_price?: number | string | null;
  /** In the shop's currency, inclusive. */
  max_price?: number | string | null;
  /** Added to the shop at most this many days before the request. */
  created_within_days?: number | null;
}

/** The products of a rule: those that meet all given conditions; without conditions every product. */
export interface TargetIn_Output {
  /** Ids of products; a pin places them in this order. */
  product_ids?: Array<number> | null;
  /** A category with its subcategories. */
  category_id?: number | null;
  brand_id?: number | null;
  tag?: string | null;
  /** In the shop's currency, inclusive. */
  min_price?: string | null;
  /** In the shop's currency, inclusive. */
  max_price?: string | null;
  /** Added to the shop at most this many days before the request. */
  created_within_days?: number | null;
}

/** The shop's own ids of a target, in the order of its numbers; null for what is deleted. */
export interface TargetOwnIds {
  skus?: Array<string | null> | null;
  category_slug?: string | null;
  brand_slug?: string | null;
}

/** Explicit preferences by name: -1 means never, 0 indifferent, 1 very much. */
export interface Taste {
  /** By name, slug, path (`Food > Fruit`) or id. */
  categories?: Record<string, number>;
  /** By name, slug or id. */
  brands?: Record<string, number>;
  colors?: Record<string, number>;
  sizes?: Record<string, number>;
  styles?: Record<string, number>;
  price_range?: PriceRange_Input | null;
}

/** Preferences as they are stored; imported ones may hold other numbers. */
export interface TasteOut {
  categories: Record<string, number>;
  brands: Record<string, number>;
  colors: Record<string, number>;
  sizes: Record<string, number>;
  styles: Record<string, number>;
  price_range: PriceRange_Output | null;
}

/** The parts of a template (Jinja, in a sandbox); every variable is declared with its type. */
export interface TemplateIn {
  subject?: string | null;
  body_html?: string | null;
  body_text?: string | null;
  variables?: Record<string, unknown>;
  is_active?: boolean;
}

/** A template of the shop's own. */
export interface TemplateNew {
  subject?: string | null;
  body_html?: string | null;
  body_text?: string | null;
  variables?: Record<string, unknown>;
  is_active?: boolean;
  name: string;
  type?: string;
}

/** A template as it is stored. */
export interface TemplateOut {
  name: string;
  type: string;
  subject: string | null;
  body_html: string | null;
  body_text: string | null;
  variables: Record<string, unknown> | null;
  is_active: boolean | null;
}

/** Values to try a template with. */
export interface TemplatePreviewIn {
  values?: Record<string, string | number | boolean | Array<string>>;
}

/** The message as it would be sent. */
export interface TemplatePreviewOut {
  subject: string;
  html: string | null;
  text: string;
}

/** A business rule of the placement that is in force and whose target includes the product. */
export interface TouchingRule {
  rule_id: number;
  name: string;
  kind: string;
  /** The segment that the rule is for; null: everybody. */
  segment?: string | null;
  /** When the members of that segment were found. */
  segment_refreshed_at?: string | null;
  /** Whether it determined the position, or removed the product. */
  decides: boolean;
}

/** One step, and whether the product passed it; null: an earlier step lost the product. */
export interface TraceStep {
  name: TraceStepName;
  passed: boolean | null;
  /** What happened to the product, in a sentence. */
  text: string;
}

/** The steps from the catalogue to a page of a list, in their order. */
export type TraceStepName = "sold" | "filters" | "history" | "page_content" | "hide_rules" | "candidates" | "ranking" | "stored_list" | "position_rules" | "deadline" | "page";

/** Products by their views of late; an older view counts less. */
export interface TrendingOut {
  products: Array<ProductListItem>;
}

/** A user in a list. */
export interface UserBrief {
  id: number;
  username: string;
  full_name: string;
  avatar_url: string | null;
}

/** A user by username. */
export interface Username {
  username: string;
}

/** One page of users that were found. */
export interface UsersFound {
  total: number;
  items: Array<FoundUser>;
  /** Reason why no search was made. */
  message?: string | null;
  /** Send it back as `cursor` for the next page. */
  next_cursor: string | null;
}

/** What an arm changes of a request; the defaults change nothing. */
export interface Variant {
  /** A registered model; null: the serving one. */
  model?: string | null;
  /** Whether business rules apply. */
  rules?: boolean;
  /** The business rules of this set apply beside those for everybody; null: no set. */
  rule_set?: string | null;
  /** In the place of the request's; null: as requested. */
  diversity?: number | null;
  /** In the place of the request's; null: as requested. */
  novelty?: "any" | "new" | null;
  /** Rank when a list is requested, also where a stored list is ready. */
  live?: boolean;
}

/** One size, colour or package; without a price it has the price of the product. */
export interface VariantIn {
  sku?: string | null;
  name?: string | null;
  price?: number | string | null;
  compare_price?: number | string | null;
  /** Cost of one piece; not shown to customers. */
  cost_price?: number | string | null;
  weight?: number | string | null;
  barcode?: string | null;
  /** Default: 0 for a new variant, unchanged for an existing one. */
  inventory_quantity?: number | null;
  inventory_policy?: "deny" | "continue";
  inventory_tracking?: boolean;
  requires_shipping?: boolean;
  taxable?: boolean;
  position?: number;
  option1?: string | null;
  option2?: string | null;
  option3?: string | null;
}

/** One size, colour or package, with its stock. */
export interface VariantOut {
  id: number;
  sku: string | null;
  name: string | null;
  price: string | null;
  compare_price: string | null;
  inventory_quantity: number | null;
  inventory_policy: string | null;
  option1: string | null;
  option2: string | null;
  option3: string | null;
}

/** That a view was noted, and how many there were in the last 24 hours (null while that is unknown). */
export interface ViewOut {
  views: number | null;
}

/** One visit to the shop. */
export interface VisitOut {
  /** The shop's own id of the user. */
  username?: string | null;
  id: number;
  session_id: string;
  user_id: number | null;
  start_time: string;
  end_time: string;
  duration_seconds: number;
  page_views: number;
  events: number;
  /** One page view and no other event. */
  bounce: boolean;
  converted: boolean;
  conversion_value: string;
  device_type: string | null;
  browser: string | null;
  os: string | null;
  country: string | null;
  city: string | null;
  referrer: string | null;
  utm_source: string | null;
  utm_medium: string | null;
  utm_campaign: string | null;
}

/** What became of a webhook. */
export interface WebhookOut {
  outcome: "applied" | "ignored" | "repeated";
}

export interface Operations {
  /** Save an address for later orders. */
  add_address: {
    method: "POST";
    path: "/api/v1/addresses";
    body: AddressIn;
    response: AddressOut;
  };
  /** Save a token of the gateway for later payments. */
  add_method: {
    method: "POST";
    path: "/api/v1/payment-methods";
    body: MethodIn;
    response: MethodOut;
  };
  /** Add pieces to the cart. */
  add_to_cart: {
    method: "POST";
    path: "/api/v1/cart/items";
    body: CartItemIn;
    response: CartOut;
  };
  /** Add an image. */
  admin_add_image: {
    method: "POST";
    path: "/api/v1/admin/products/{product_id}/images";
    pathParameters: {
      product_id: number | string;
    };
    body: ImageIn;
    response: ImageOut;
  };
  /** Add a variant, with its first stock. */
  admin_add_variant: {
    method: "POST";
    path: "/api/v1/admin/products/{product_id}/variants";
    pathParameters: {
      product_id: number | string;
    };
    body: VariantIn;
    response: VariantOut;
  };
  /** Change a variant's stock by hand; each change is logged. */
  admin_adjust_stock: {
    method: "POST";
    path: "/api/v1/admin/variants/{variant_id}/stock";
    pathParameters: {
      variant_id: number | string;
    };
    body: AdjustIn;
    response: StockOut;
  };
  /** The users whom a campaign should address: likely buyers, look-alikes, or for whom something is due. */
  admin_admin_segment: {
    method: "GET";
    path: "/api/v1/admin/segments/{kind}";
    pathParameters: {
      kind: SegmentKind;
    };
    query?: {
      product_id?: Array<number | string>;
      user_id?: Array<number | string>;
      category_id?: number | string | null;
      brand_id?: number | string | null;
      /** Only users who never looked at the product. */
      new?: boolean;
      /** Due, or changed, within so many days. */
      days?: number;
      /** The user looked at it since. */
      looked_days?: number;
      /** Count days from this moment. */
      as_of?: string | null;
      limit?: number;
    };
    response: SegmentOut;
  };
  /** Approve a review, which makes it visible. */
  admin_approve_review: {
    method: "POST";
    path: "/api/v1/admin/reviews/{review_id}/approve";
    pathParameters: {
      review_id: number;
    };
    response: ReviewOut;
  };
  /** Close an account and log every device out; a closed one stays as it is. */
  admin_block_account: {
    method: "POST";
    path: "/api/v1/admin/users/{user_id}/block";
    pathParameters: {
      /** A number or `username:…`. */
      user_id: number | string;
    };
    response: void;
  };
  /** Cancel any order that was not shipped. */
  admin_cancel_order: {
    method: "POST";
    path: "/api/v1/admin/orders/{order_id}/cancel";
    pathParameters: {
      order_id: number;
    };
    body: CancelIn;
    response: StaffOrderOut;
  };
  /** Capture an authorised payment; a repeated request captures it once. */
  admin_capture: {
    method: "POST";
    path: "/api/v1/admin/payments/{payment_id}/capture";
    pathParameters: {
      payment_id: number;
    };
    response: PaymentOut;
  };
  /** Replace a brand. */
  admin_change_brand: {
    method: "PUT";
    path: "/api/v1/admin/brands/{brand_id}";
    pathParameters: {
      brand_id: number | string;
    };
    body: BrandIn;
    response: BrandOut;
  };
  /** Replace a category, or move it with its subcategories. */
  admin_change_category: {
    method: "PUT";
    path: "/api/v1/admin/categories/{category_id}";
    pathParameters: {
      category_id: number | string;
    };
    body: CategoryIn;
    response: CategoryOut;
  };
  /** Change the internal notes of an order. */
  admin_change_order: {
    method: "PATCH";
    path: "/api/v1/admin/orders/{order_id}";
    pathParameters: {
      order_id: number;
    };
    body: OrderChange;
    response: StaffOrderOut;
  };
  /** Change the given fields of a product. */
  admin_change_product: {
    method: "PATCH";
    path: "/api/v1/admin/products/{product_id}";
    pathParameters: {
      product_id: number | string;
    };
    body: ProductChange;
    response: ProductOut;
  };
  /** Change the status of an order by hand, such as completing an order without parcels. */
  admin_change_status: {
    method: "POST";
    path: "/api/v1/admin/orders/{order_id}/status";
    pathParameters: {
      order_id: number;
    };
    body: StatusIn;
    response: StaffOrderOut;
  };
  /** Replace the parts of a template, or deactivate it. */
  admin_change_template: {
    method: "PUT";
    path: "/api/v1/admin/notification-templates/{name}";
    pathParameters: {
      name: string;
    };
    body: TemplateIn;
    response: TemplateOut;
  };
  /** Replace a variant; a difference in stock is logged. */
  admin_change_variant: {
    method: "PUT";
    path: "/api/v1/admin/products/{product_id}/variants/{variant_id}";
    pathParameters: {
      product_id: number | string;
      variant_id: number | string;
    };
    body: VariantIn;
    response: VariantOut;
  };
  /** Create a brand. */
  admin_create_brand: {
    method: "POST";
    path: "/api/v1/admin/brands";
    body: BrandIn;
    response: BrandOut;
  };
  /** Create a category. */
  admin_create_category: {
    method: "POST";
    path: "/api/v1/admin/categories";
    body: CategoryIn;
    response: CategoryOut;
  };
  /** The address of a block of recommendations that is filled when the mail is opened. */
  admin_create_mail_block: {
    method: "POST";
    path: "/api/v1/admin/mail-blocks";
    body: MailBlockIn;
    response: MailBlockOut;
  };
  /** Create a product. */
  admin_create_product: {
    method: "POST";
    path: "/api/v1/admin/products";
    body: ProductIn;
    response: ProductOut;
  };
  /** Create a key for web pages of these origins: it sends events and asks for lists of their visitor. */
  admin_create_publishable_key: {
    method: "POST";
    path: "/api/v1/admin/publishable-keys";
    body: PublishableKeyIn;
    response: NewPublishableKeyOut;
  };
  /** Create a group; searches follow it within seconds, without a reindex. */
  admin_create_synonyms: {
    method: "POST";
    path: "/api/v1/admin/search/synonyms";
    body: SynonymIn;
    response: SynonymOut;
  };
  /** Create a template. */
  admin_create_template: {
    method: "POST";
    path: "/api/v1/admin/notification-templates";
    body: TemplateNew;
    response: TemplateOut;
  };
  /** Delete a brand without products. */
  admin_delete_brand: {
    method: "DELETE";
    path: "/api/v1/admin/brands/{brand_id}";
    pathParameters: {
      brand_id: number | string;
    };
    response: void;
  };
  /** Delete an empty category. */
  admin_delete_category: {
    method: "DELETE";
    path: "/api/v1/admin/categories/{category_id}";
    pathParameters: {
      category_id: number | string;
    };
    response: void;
  };
  /** Delete an image. */
  admin_delete_image: {
    method: "DELETE";
    path: "/api/v1/admin/products/{product_id}/images/{image_id}";
    pathParameters: {
      product_id: number | string;
      image_id: number;
    };
    response: void;
  };
  /** Delete a product; orders keep its name and price. */
  admin_delete_product: {
    method: "DELETE";
    path: "/api/v1/admin/products/{product_id}";
    pathParameters: {
      product_id: number | string;
    };
    response: void;
  };
  /** Delete a review. */
  admin_delete_review: {
    method: "DELETE";
    path: "/api/v1/admin/reviews/{review_id}";
    pathParameters: {
      review_id: number;
    };
    response: void;
  };
  /** Delete a segment that no rule is for. */
  admin_delete_stored_segment: {
    method: "DELETE";
    path: "/api/v1/admin/stored-segments/{name}";
    pathParameters: {
      name: string;
    };
    response: void;
  };
  /** Delete a group; its history stays. */
  admin_delete_synonyms: {
    method: "DELETE";
    path: "/api/v1/admin/search/synonyms/{synonym_id}";
    pathParameters: {
      synonym_id: number;
    };
    headers?: {
      /** The version that was read, as in `ETag`: `"3"`; `*` for any. */
      "if-match"?: string;
    };
    response: void;
  };
  /** Delete a variant. */
  admin_delete_variant: {
    method: "DELETE";
    path: "/api/v1/admin/products/{product_id}/variants/{variant_id}";
    pathParameters: {
      product_id: number | string;
      variant_id: number | string;
    };
    response: void;
  };
  /** Make an administrator an ordinary user; the last administrator stays one. */
  admin_demote_account: {
    method: "POST";
    path: "/api/v1/admin/users/{user_id}/demote";
    pathParameters: {
      /** A number or `username:…`. */
      user_id: number | string;
    };
    response: void;
  };
  /** Erase a user from every place, for good, and answer with a signed receipt. */
  admin_erase_account: {
    method: "DELETE";
    path: "/api/v1/admin/users/{user_id}";
    pathParameters: {
      /** A number or `username:…`. */
      user_id: number | string;
    };
    response: ErasureReceipt;
  };
  /** Everything that the shop keeps of a user, as a ZIP of JSON files. */
  admin_export_account: {
    method: "GET";
    path: "/api/v1/admin/users/{user_id}/export";
    pathParameters: {
      /** A number or `username:…`. */
      user_id: number | string;
    };
    response: string;
  };
  /** One experiment: its design, the lists of its arms, and the verdict when it was last measured. */
  admin_get_experiment: {
    method: "GET";
    path: "/api/v1/admin/experiments/{name}";
    pathParameters: {
      name: string;
    };
    response: ExperimentDetailOut;
  };
  /** Any order with all its parts. */
  admin_get_order: {
    method: "GET";
    path: "/api/v1/admin/orders/{order_id}";
    pathParameters: {
      order_id: number;
    };
    response: StaffOrderOut;
  };
  /** One product, also a hidden one. */
  admin_get_product: {
    method: "GET";
    path: "/api/v1/admin/products/{product_id}";
    pathParameters: {
      product_id: number | string;
    };
    response: ProductOut;
  };
  /** One group, with its version as `ETag`. */
  admin_get_synonyms: {
    method: "GET";
    path: "/api/v1/admin/search/synonyms/{synonym_id}";
    pathParameters: {
      synonym_id: number;
    };
    response: SynonymOut;
  };
  /** End an experiment and keep an arm: its model serves everybody. Other settings are recorded only. */
  admin_keep_experiment_arm: {
    method: "POST";
    path: "/api/v1/admin/experiments/{name}/keep";
    pathParameters: {
      name: string;
    };
    body: KeptArmIn;
    response: KeptOut;
  };
  /** Accounts in the order of their ids. */
  admin_list_accounts: {
    method: "GET";
    path: "/api/v1/admin/users";
    query?: {
      status?: "open" | "closed" | "admin" | "any";
      /** Of address or name. */
      prefix?: string | null;
      limit?: number;
      cursor?: string | null;
    };
    response: Page_AccountOut_;
  };
  /** The number of items that each bot sent on a day; none of them is stored. */
  admin_list_bots: {
    method: "GET";
    path: "/api/v1/admin/analytics/bots/{day}";
    pathParameters: {
      day: string;
    };
    response: Array<BotHitsOut>;
  };
  /** Live feed of cart changes; request it again with `after` for the next entries. */
  admin_list_cart_events: {
    method: "GET";
    path: "/api/v1/admin/cart-events";
    query?: {
      /** The last entry that was read. */
      after?: string;
      limit?: number;
    };
    response: LiveEntries;
  };
  /** All experiments, newest first, with the last measurement of each. */
  admin_list_experiments: {
    method: "GET";
    path: "/api/v1/admin/experiments";
    response: Array<ExperimentOut>;
  };
  /** Suspicious payments without a decision, the oldest first. */
  admin_list_flags: {
    method: "GET";
    path: "/api/v1/admin/fraud-flags";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_FlagOut_;
  };
  /** Live feed of order steps; request it again with `after` for the next entries. */
  admin_list_live_orders: {
    method: "GET";
    path: "/api/v1/admin/live-orders";
    query?: {
      /** The last entry that was read. */
      after?: string;
      limit?: number;
    };
    response: LiveEntries;
  };
  /** E-mails with their delivery status, newest first. */
  admin_list_mails: {
    method: "GET";
    path: "/api/v1/admin/email-logs";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_EmailLogOut_;
  };
  /** The orders of all users and guests, newest first. */
  admin_list_orders: {
    method: "GET";
    path: "/api/v1/admin/orders";
    query?: {
      status?: Status | null;
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_OrderSummary_;
  };
  /** The figures of each product and day, the latest day first, then by product. */
  admin_list_products: {
    method: "GET";
    path: "/api/v1/admin/analytics/products";
    query?: {
      /** A day such as 2026-03-29, in the shop's time zone. */
      since?: string | null;
      /** A day such as 2026-03-29, in the shop's time zone. */
      until?: string | null;
      product_id?: number | string | null;
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_ProductDay_;
  };
  /** All publishable keys, the revoked ones included. */
  admin_list_publishable_keys: {
    method: "GET";
    path: "/api/v1/admin/publishable-keys";
    response: Array<PublishableKeyOut>;
  };
  /** The shop's sales of each day, the latest first; `recsys analytics rollup` makes them. */
  admin_list_sales: {
    method: "GET";
    path: "/api/v1/admin/analytics/sales";
    query?: {
      /** A day such as 2026-03-29, in the shop's time zone. */
      since?: string | null;
      /** A day such as 2026-03-29, in the shop's time zone. */
      until?: string | null;
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_SalesDay_;
  };
  /** Every change of a product's stock, newest first. */
  admin_list_stock_log: {
    method: "GET";
    path: "/api/v1/admin/products/{product_id}/stock-log";
    pathParameters: {
      product_id: number | string;
    };
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_LogOut_;
  };
  /** All stored segments, with how many members they have and how old these are. */
  admin_list_stored_segments: {
    method: "GET";
    path: "/api/v1/admin/stored-segments";
    response: Array<StoredSegmentOut>;
  };
  /** The changes of a group with author and time, newest first; also of a deleted group. */
  admin_list_synonym_changes: {
    method: "GET";
    path: "/api/v1/admin/search/synonyms/{synonym_id}/changes";
    pathParameters: {
      synonym_id: number;
    };
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_SynonymChangeOut_;
  };
  /** Groups of synonyms, newest first. */
  admin_list_synonyms: {
    method: "GET";
    path: "/api/v1/admin/search/synonyms";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_SynonymOut_;
  };
  /** All templates, including those that recsys ships. */
  admin_list_templates: {
    method: "GET";
    path: "/api/v1/admin/notification-templates";
    response: Array<TemplateOut>;
  };
  /** Text messages with their delivery status, newest first. */
  admin_list_texts: {
    method: "GET";
    path: "/api/v1/admin/sms-logs";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_SmsLogOut_;
  };
  /** Visits to the shop, the newest first. */
  admin_list_visits: {
    method: "GET";
    path: "/api/v1/admin/analytics/visits";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_VisitOut_;
  };
  /** Reviews that wait for approval, the oldest first. */
  admin_list_waiting_reviews: {
    method: "GET";
    path: "/api/v1/admin/reviews";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_ReviewOut_;
  };
  /** Notify one user by those of the channels that the user accepts. */
  admin_notify: {
    method: "POST";
    path: "/api/v1/admin/notifications";
    body: NotifyIn;
    response: NotifyOut;
  };
  /** How many users an experiment needs, looked at every day, and whether the days bring them. */
  admin_plan_experiment: {
    method: "GET";
    path: "/api/v1/admin/experiments/plan";
    query?: {
      kind?: "arms" | "interleaved";
      metric?: "clicked" | "carted" | "bought" | "revenue" | "spent";
      /** Share of an arm beside the control; repeat it. Default: 0.5. */
      share?: Array<number> | null;
      days?: number;
      /** The difference to find, of interleaved lists the preference. */
      effect_percent?: number;
      /** Mean of the metric now; default: as measured. */
      baseline?: number | null;
      /** Standard deviation of money between users. */
      deviation?: number | null;
    };
    response: PlannedSample;
  };
  /** Render a template with these values; nothing is sent. Exceeding the limits is a 422. */
  admin_preview_template: {
    method: "POST";
    path: "/api/v1/admin/notification-templates/{name}/preview";
    pathParameters: {
      name: string;
    };
    body: TemplatePreviewIn;
    response: TemplatePreviewOut;
  };
  /** Store a segment, or replace the one of this name, and find its members. */
  admin_put_stored_segment: {
    method: "PUT";
    path: "/api/v1/admin/stored-segments/{name}";
    pathParameters: {
      name: string;
    };
    body: StoredSegmentIn;
    response: StoredSegmentOut;
  };
  /** Record whether a text message was delivered; for the webhook of the provider, with a key for `admin`. */
  admin_receive_receipt: {
    method: "POST";
    path: "/api/v1/admin/sms-logs/{log_id}/receipt";
    pathParameters: {
      log_id: number;
    };
    body: SmsReceiptIn;
    response: SmsLogOut;
  };
  /** Find the members again now. */
  admin_refresh_stored_segment: {
    method: "POST";
    path: "/api/v1/admin/stored-segments/{name}/refresh";
    pathParameters: {
      name: string;
    };
    response: StoredSegmentOut;
  };
  /** Refund a payment in part or in full, never more than was paid. */
  admin_refund: {
    method: "POST";
    path: "/api/v1/admin/payments/{payment_id}/refunds";
    pathParameters: {
      payment_id: number;
    };
    headers: {
      /** Chosen by the client, new for each order, payment or refund. A repeated request with the same key has no further effect. */
      "Idempotency-Key": string;
    };
    body: RefundIn;
    response: RefundOut;
  };
  /** Open a closed account again: its user logs in with the old password. An open one stays as it is. */
  admin_reopen_account: {
    method: "POST";
    path: "/api/v1/admin/users/{user_id}/reopen";
    pathParameters: {
      /** A number or `username:…`. */
      user_id: number | string;
    };
    response: void;
  };
  /** Replace the phrases of a group; 409 when it was changed since the version of `If-Match` was read. */
  admin_replace_synonyms: {
    method: "PUT";
    path: "/api/v1/admin/search/synonyms/{synonym_id}";
    pathParameters: {
      synonym_id: number;
    };
    headers: {
      /** The version that was read, as in `ETag`: `"3"`; `*` for any. */
      "if-match": string;
    };
    body: SynonymIn;
    response: SynonymOut;
  };
  /** Decide about a suspicious payment: accepted, it can be captured; rejected, it is voided. */
  admin_resolve_flag: {
    method: "POST";
    path: "/api/v1/admin/fraud-flags/{flag_id}/resolve";
    pathParameters: {
      flag_id: number;
    };
    body: ResolutionIn;
    response: FlagOut;
  };
  /** Queue an e-mail that failed, or waits, for the next delivery. */
  admin_retry_mail: {
    method: "POST";
    path: "/api/v1/admin/email-logs/{log_id}/retry";
    pathParameters: {
      log_id: number;
    };
    response: EmailLogOut;
  };
  /** Record that the goods of an order came back; the money is returned by a refund of the payment. */
  admin_return_order: {
    method: "POST";
    path: "/api/v1/admin/orders/{order_id}/return";
    pathParameters: {
      order_id: number;
    };
    body: ReturnIn;
    response: StaffOrderOut;
  };
  /** End a publishable key; running servers refuse it within two seconds. */
  admin_revoke_publishable_key: {
    method: "DELETE";
    path: "/api/v1/admin/publishable-keys/{key_prefix}";
    pathParameters: {
      /** Of the key, without `pk_`. */
      key_prefix: string;
    };
    response: void;
  };
  /** Record that a parcel left; the order is shipped with its first parcel. */
  admin_send_parcel: {
    method: "POST";
    path: "/api/v1/admin/orders/{order_id}/parcels";
    pathParameters: {
      order_id: number;
    };
    body: ParcelIn;
    response: ParcelOut;
  };
  /** Start an experiment; servers follow within seconds; 409 where another has one of its placements. */
  admin_start_new_experiment: {
    method: "POST";
    path: "/api/v1/admin/experiments";
    body: ExperimentIn;
    response: StartedExperimentOut;
  };
  /** Stop an experiment: the serving model answers everybody within seconds. */
  admin_stop_experiment: {
    method: "POST";
    path: "/api/v1/admin/experiments/{name}/stop";
    pathParameters: {
      name: string;
    };
    body: ConclusionIn;
    response: ExperimentOut;
  };
  /** Record where a parcel is; when the last parcel has arrived, the order is delivered. */
  admin_update_parcel: {
    method: "PATCH";
    path: "/api/v1/admin/parcels/{parcel_id}";
    pathParameters: {
      parcel_id: number;
    };
    body: ParcelUpdate;
    response: ParcelOut;
  };
  /** Void an authorised payment. */
  admin_void: {
    method: "POST";
    path: "/api/v1/admin/payments/{payment_id}/void";
    pathParameters: {
      payment_id: number;
    };
    response: PaymentOut;
  };
  /** Get a guest session: send it as `X-Session-Id`, or let the browser send its cookie. */
  begin_guest_session: {
    method: "POST";
    path: "/api/v1/auth/guest";
    response: GuestSessionOut;
  };
  /** Block a user: neither follows the other any longer, nor can again. */
  block: {
    method: "PUT";
    path: "/api/v1/users/me/blocked/{user_id}";
    pathParameters: {
      /** A number or `username:…`. */
      user_id: number | string;
    };
    response: void;
  };
  /** Products that are bought together with this one; then similar ones. */
  bought_together: {
    method: "GET";
    path: "/api/v1/products/{product_id}/bought-together";
    pathParameters: {
      /** A number or `sku:…`. */
      product_id: number | string;
    };
    query?: {
      /** How many products; default: the setting `serving.default_limit` (20). */
      limit?: number | null;
      /** 0: by score alone; 1: as diverse as possible. */
      diversity?: number;
      /** `next_cursor` of the previous page. */
      cursor?: string | null;
      /** Categories, each with its subcategories. */
      category?: Array<number | string> | null;
      /** Any of these brands. */
      brand?: Array<number | string> | null;
      min_price?: number | null;
      max_price?: number | null;
      /** Repeat for several; a product must have all. */
      tags?: Array<string> | null;
      /** true: in stock now, not only on order. */
      in_stock?: boolean | null;
      /** Added to the shop then or later; UTC where no zone is given. */
      created_since?: string | null;
      /** Products that must not appear. */
      exclude?: Array<number | string> | null;
      /** Fields of each item, separated by commas, among sku, name, price, compare_price, currency, image, url, brand, category, stock, slug. The ids are always there. */
      fields?: string | null;
    };
    response: RecommendationsOut;
  };
  /** Cancel an order that was not shipped; a payment is refunded. */
  cancel_order: {
    method: "POST";
    path: "/api/v1/orders/{order_id}/cancel";
    pathParameters: {
      order_id: number;
    };
    body: CancelIn;
    response: OrderOut;
  };
  /** Replace a saved address. */
  change_address: {
    method: "PUT";
    path: "/api/v1/addresses/{address_id}";
    pathParameters: {
      address_id: number;
    };
    body: AddressIn;
    response: AddressOut;
  };
  /** Another e-mail address; where addresses are confirmed, it is used once its code was returned. */
  change_email: {
    method: "PUT";
    path: "/api/v1/users/me/email";
    body: EmailIn;
    response: MeOut;
  };
  /** Change what is sent; what is left out stays. */
  change_me: {
    method: "PATCH";
    path: "/api/v1/users/me";
    body: ProfileIn;
    response: MeOut;
  };
  /** Another password; every other device is logged out. */
  change_password: {
    method: "PUT";
    path: "/api/v1/users/me/password";
    body: PasswordIn;
    response: void;
  };
  /** Place an order from the cart. Stock is reserved and the current prices are fixed. */
  checkout: {
    method: "POST";
    path: "/api/v1/orders";
    headers: {
      /** Chosen by the client, new for each order, payment or refund. A repeated request with the same key has no further effect. */
      "Idempotency-Key": string;
    };
    body: CheckoutIn;
    response: OrderOut;
  };
  /** Give what the guest session `X-Session-Id` holds to the user of the request. */
  claim_guest_session: {
    method: "POST";
    path: "/api/v1/auth/guest/claim";
    response: void;
  };
  /** Record that a search result was opened; models learn from it. */
  click: {
    method: "POST";
    path: "/api/v1/search/clicks";
    body: ClickIn;
    response: void;
  };
  /** Store up to 500 page views and events of the caller, each with its own verdict. */
  collect: {
    method: "POST";
    path: "/api/v1/analytics/collect";
    body: {
      /** The sender's own id: sent again in the same session, it is stored once. */
      event_id: string;
      /** When it happened, with time zone; default: now. A time ahead of now counts as now. */
      timestamp?: string | null;
      type: "page_view";
      /** An address of more than 500 characters is cut; its campaign stays. */
      page_url: string;
      page_title?: string | null;
      referrer_url?: string | null;
    } | {
      /** The sender's own id: sent again in the same session, it is stored once. */
      event_id: string;
      /** When it happened, with time zone; default: now. A time ahead of now counts as now. */
      timestamp?: string | null;
      type: "event";
      event_type: string;
      /** Anything but `shop`, which is for the shop's own events. */
      event_category?: string | null;
      event_action?: string | null;
      event_label?: string | null;
      event_value?: number | string | null;
      /** Anything else worth keeping with the event: up to 4 KiB of JSON. */
      properties?: Record<string, unknown>;
      page_url?: string | null;
    } | Array<{
      /** The sender's own id: sent again in the same session, it is stored once. */
      event_id: string;
      /** When it happened, with time zone; default: now. A time ahead of now counts as now. */
      timestamp?: string | null;
      type: "page_view";
      /** An address of more than 500 characters is cut; its campaign stays. */
      page_url: string;
      page_title?: string | null;
      referrer_url?: string | null;
    } | {
      /** The sender's own id: sent again in the same session, it is stored once. */
      event_id: string;
      /** When it happened, with time zone; default: now. A time ahead of now counts as now. */
      timestamp?: string | null;
      type: "event";
      event_type: string;
      /** Anything but `shop`, which is for the shop's own events. */
      event_category?: string | null;
      event_action?: string | null;
      event_label?: string | null;
      event_value?: number | string | null;
      /** Anything else worth keeping with the event: up to 4 KiB of JSON. */
      properties?: Record<string, unknown>;
      page_url?: string | null;
    }>;
    response: PostVerdicts;
  };
  /** Confirm the e-mail address to which the code was sent, or change to it; the code is valid once. */
  confirm_email: {
    method: "POST";
    path: "/api/v1/auth/confirm-email";
    body: ConfirmEmailIn;
    response: void;
  };
  /** How many notifications the caller has not read. */
  count_unread: {
    method: "GET";
    path: "/api/v1/notifications/unread-count";
    response: Count;
  };
  /** Create a rule; lists follow it within seconds. */
  create_rule: {
    method: "POST";
    path: "/api/v1/recommendations/rules";
    body: RuleIn;
    response: RuleOut;
  };
  /** Close the account: every device is logged out, nobody can log in, the profile is gone. */
  deactivate: {
    method: "POST";
    path: "/api/v1/users/me/deactivate";
    body: DeactivateIn;
    response: void;
  };
  /** Delete a rule; its history stays. */
  delete_rule: {
    method: "DELETE";
    path: "/api/v1/recommendations/rules/{rule_id}";
    pathParameters: {
      rule_id: number;
    };
    headers?: {
      /** The version that was read, as in `ETag`: `"3"`; `*` for any. */
      "if-match"?: string;
    };
    response: void;
  };
  /** The address and the integrity hash of the script of web pages. */
  describe_script: {
    method: "GET";
    path: "/api/v1/browser-script";
    response: Script;
  };
  /** Empty the cart. */
  empty_cart: {
    method: "DELETE";
    path: "/api/v1/cart";
    response: void;
  };
  /** Erase the caller from every place, for good, and answer with a signed receipt. */
  erase_me: {
    method: "POST";
    path: "/api/v1/users/me/erase";
    body: DeactivateIn;
    response: ErasureReceipt;
  };
  /** Everything that is kept of the caller, as a ZIP of JSON files; the password is asked for again. */
  export_me: {
    method: "POST";
    path: "/api/v1/users/me/export";
    body: DeactivateIn;
    response: string;
  };
  /** Follow a user; again is no error. */
  follow: {
    method: "PUT";
    path: "/api/v1/users/me/following/{user_id}";
    pathParameters: {
      /** A number or `username:…`. */
      user_id: number | string;
    };
    response: void;
  };
  /** The cart at current prices. */
  get_cart: {
    method: "GET";
    path: "/api/v1/cart";
    response: CartOut;
  };
  /** The category tree. */
  get_categories: {
    method: "GET";
    path: "/api/v1/categories";
    response: Array<CategoryOut>;
  };
  /** What the caller allows: a user, a guest (`X-Session-Id`), or both together. */
  get_consent: {
    method: "GET";
    path: "/api/v1/consent";
    response: ConsentBody;
  };
  /** One's own account. */
  get_me: {
    method: "GET";
    path: "/api/v1/users/me";
    response: MeOut;
  };
  /** The channels by which the caller is notified. */
  get_notification_preferences: {
    method: "GET";
    path: "/api/v1/notification-preferences";
    response: ChannelsOut;
  };
  /** One of the caller's orders, with lines, address, history and parcels. */
  get_order: {
    method: "GET";
    path: "/api/v1/orders/{order_id}";
    pathParameters: {
      order_id: number;
    };
    response: OrderOut;
  };
  /** One payment of the caller's own orders. */
  get_payment: {
    method: "GET";
    path: "/api/v1/payments/{payment_id}";
    pathParameters: {
      payment_id: number;
    };
    response: PaymentOut;
  };
  /** The caller's stated preferences, and those that the shop inferred from interactions. */
  get_preferences: {
    method: "GET";
    path: "/api/v1/recommendations/preferences";
    response: PreferencesOut;
  };
  /** The caller's preferences in the profile. */
  get_preferences_of_me: {
    method: "GET";
    path: "/api/v1/users/me/preferences";
    response: Record<string, unknown>;
  };
  /** One product, with variants, pictures and rating; with `fields`, these alone. */
  get_product: {
    method: "GET";
    path: "/api/v1/products/{product_id}";
    pathParameters: {
      product_id: number | string;
    };
    query?: {
      /** Fields of each item, separated by commas, among sku, name, price, compare_price, currency, image, url, brand, category, stock, slug. The ids are always there. */
      fields?: string | null;
    };
    response: ProductOut | ChosenProduct;
  };
  /** One rule, with its version as `ETag`. */
  get_rule: {
    method: "GET";
    path: "/api/v1/recommendations/rules/{rule_id}";
    pathParameters: {
      rule_id: number;
    };
    response: RuleOut;
  };
  /** The caller's settings: language, currency, theme and whatever else the shop stores here. */
  get_settings_of_me: {
    method: "GET";
    path: "/api/v1/users/me/settings";
    response: Record<string, unknown>;
  };
  /** The stock of a product, all variants together. */
  get_stock: {
    method: "GET";
    path: "/api/v1/products/{product_id}/stock";
    pathParameters: {
      product_id: number | string;
    };
    response: StockOut;
  };
  /** The public profile of a user. */
  get_user: {
    method: "GET";
    path: "/api/v1/users/{user_id}";
    pathParameters: {
      /** A number or `username:…`. */
      user_id: number | string;
    };
    response: PublicUser;
  };
  /** The public profile of the user of a name, in whatever case it is written. */
  get_user_by_username: {
    method: "GET";
    path: "/api/v1/users/by-username/{username}";
    pathParameters: {
      username: string;
    };
    response: PublicUser;
  };
  /** Products for a guest, by the history of the session (header `X-Session-Id`). */
  guest_recommendations: {
    method: "GET";
    path: "/api/v1/recommendations";
    query?: {
      /** How many products; default: the setting `serving.default_limit` (20). */
      limit?: number | null;
      /** `new`: only products that the user has no interaction with. */
      novelty?: Novelty;
      /** 0: by score alone; 1: as diverse as possible. */
      diversity?: number;
      /** With the parts of each score, in the model's own units. */
      explain?: boolean;
      /** ISO 3166 code: products recently sent to this country. */
      country?: string | null;
      /** `next_cursor` of the previous page. */
      cursor?: string | null;
      /** Categories, each with its subcategories. */
      category?: Array<number | string> | null;
      /** Any of these brands. */
      brand?: Array<number | string> | null;
      min_price?: number | null;
      max_price?: number | null;
      /** Repeat for several; a product must have all. */
      tags?: Array<string> | null;
      /** true: in stock now, not only on order. */
      in_stock?: boolean | null;
      /** Added to the shop then or later; UTC where no zone is given. */
      created_since?: string | null;
      /** Products that must not appear. */
      exclude?: Array<number | string> | null;
      /** Fields of each item, separated by commas, among sku, name, price, compare_price, currency, image, url, brand, category, stock, slug. The ids are always there. */
      fields?: string | null;
      /** Which list; default: `for_you`. */
      placement?: Placement | null;
      /** The former name of `placement`. @deprecated */
      shelf?: Placement | null;
    };
    response: RecommendationsOut;
  };
  /** Like a product. Models learn from it; there is no list of likes. */
  like: {
    method: "POST";
    path: "/api/v1/products/{product_id}/like";
    pathParameters: {
      product_id: number | string;
    };
    response: void;
  };
  /** The activities of the caller's account, newest first. */
  list_activities: {
    method: "GET";
    path: "/api/v1/users/me/activities";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_ActivityOut_;
  };
  /** The caller's saved addresses, the default first. */
  list_addresses: {
    method: "GET";
    path: "/api/v1/addresses";
    response: Array<AddressOut>;
  };
  /** Brands by name. */
  list_brands: {
    method: "GET";
    path: "/api/v1/brands";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_BrandOut_;
  };
  /** The caller's own feedback, newest first. */
  list_feedback: {
    method: "GET";
    path: "/api/v1/recommendations/feedback";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_FeedbackOut_;
  };
  /** The caller's payment methods, the default first. */
  list_methods: {
    method: "GET";
    path: "/api/v1/payment-methods";
    response: Array<MethodOut>;
  };
  /** The caller's notifications, newest first. */
  list_notifications: {
    method: "GET";
    path: "/api/v1/notifications";
    query?: {
      unread?: boolean;
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_NotificationOut_;
  };
  /** The caller's orders, newest first. */
  list_orders: {
    method: "GET";
    path: "/api/v1/orders";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_OrderSummary_;
  };
  /** Active products; a category means everything below it too. */
  list_products: {
    method: "GET";
    path: "/api/v1/products";
    query?: {
      category?: number | string | null;
      brand?: number | string | null;
      min_price?: number | string | null;
      max_price?: number | string | null;
      tag?: string | null;
      in_stock?: boolean;
      featured?: boolean | null;
      /** With one of these SKUs, variants included. */
      sku?: Array<string> | null;
      sort?: "newest" | "name" | "price" | "-price";
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
      /** Fields of each item, separated by commas, among sku, name, price, compare_price, currency, image, url, brand, category, stock, slug. The ids are always there. */
      fields?: string | null;
    };
    response: Page_Union_ProductListItem__ChosenProduct__;
  };
  /** Approved reviews of a product, newest first. */
  list_reviews: {
    method: "GET";
    path: "/api/v1/products/{product_id}/reviews";
    pathParameters: {
      product_id: number | string;
    };
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_ReviewOut_;
  };
  /** The changes of a rule with author and time, newest first; also of a deleted rule. */
  list_rule_changes: {
    method: "GET";
    path: "/api/v1/recommendations/rules/{rule_id}/changes";
    pathParameters: {
      rule_id: number;
    };
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_RuleChangeOut_;
  };
  /** The sets that rules belong to, and the experiments that compare them. */
  list_rule_sets: {
    method: "GET";
    path: "/api/v1/recommendations/rules/sets";
    response: Array<RuleSetOut>;
  };
  /** Business rules, newest first. */
  list_rules: {
    method: "GET";
    path: "/api/v1/recommendations/rules";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
      kind?: RuleKind | null;
      /** Only rules of this set. */
      rule_set?: string | null;
      /** Only rules in force at this moment. */
      in_force?: boolean;
    };
    response: Page_RuleOut_;
  };
  /** The devices that are logged in, the last used first; there are few, so it is one page. */
  list_sessions: {
    method: "GET";
    path: "/api/v1/users/me/sessions";
    response: Page_SessionOut_;
  };
  /** Products by their recent views. */
  list_trending: {
    method: "GET";
    path: "/api/v1/products/trending";
    query?: {
      limit?: number;
    };
    response: TrendingOut;
  };
  /** The process runs. */
  live: {
    method: "GET";
    path: "/health/live";
    response: Health;
  };
  /** Get a token for `Authorization: Bearer TOKEN`; it is also set as a cookie for browsers. */
  log_in: {
    method: "POST";
    path: "/api/v1/auth/login";
    body: LoginIn;
    response: LoggedIn;
  };
  /** End the session of this request; its token is worth nothing from now on. */
  log_out: {
    method: "POST";
    path: "/api/v1/auth/logout";
    response: void;
  };
  /** A guest's order, by its number and e-mail address. */
  look_up_order: {
    method: "POST";
    path: "/api/v1/orders/lookup";
    body: LookupIn;
    response: OrderOut;
  };
  /** The block as a fragment of HTML, for the client that opens the mail; no key is needed. */
  mail_block: {
    method: "GET";
    path: "/api/v1/mail-blocks/{address}";
    pathParameters: {
      /** As it was made. */
      address: string;
    };
    response: string;
  };
  /** Lead to the product at one place, and count a click on the recommendation: one for a block and product. */
  mail_block_link: {
    method: "GET";
    path: "/api/v1/mail-blocks/{address}/{place}";
    pathParameters: {
      /** As it was made. */
      address: string;
      /** From 1. */
      place: number;
    };
    response: void;
  };
  /** The product at one place as a picture; a transparent pixel where there is none. */
  mail_block_picture: {
    method: "GET";
    path: "/api/v1/mail-blocks/{address}/{place}.png";
    pathParameters: {
      /** As it was made. */
      address: string;
      /** From 1. */
      place: number;
    };
    response: string;
  };
  /** Make a payment method the default. */
  make_default: {
    method: "POST";
    path: "/api/v1/payment-methods/{method_id}/default";
    pathParameters: {
      method_id: number;
    };
    response: MethodOut;
  };
  /** Mark all of the caller's notifications read; return how many were unread. */
  mark_all_read: {
    method: "POST";
    path: "/api/v1/notifications/read-all";
    response: Count;
  };
  /** Mark one notification read; a repeated request changes nothing. */
  mark_read: {
    method: "POST";
    path: "/api/v1/notifications/{notification_id}/read";
    pathParameters: {
      notification_id: number;
    };
    response: NotificationOut;
  };
  /** Counts and durations of all workers, and the state of the shop, in Prometheus' text format. */
  metrics: {
    method: "GET";
    path: "/metrics";
    response: string;
  };
  /** The report of the run that trained this model; outside development only for administrators. */
  model_report: {
    method: "GET";
    path: "/api/v1/models/{name}/report";
    pathParameters: {
      /** Name of a registered model, e.g. als-v3. */
      name: string;
    };
    query?: {
      /** Default: what the header `Accept` prefers. */
      format?: "html" | "json" | null;
    };
    response: unknown;
  };
  /** Whom one has blocked, by id. */
  my_blocked: {
    method: "GET";
    path: "/api/v1/users/me/blocked";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_UserBrief_;
  };
  /** Who follows one, by id. */
  my_followers: {
    method: "GET";
    path: "/api/v1/users/me/followers";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_UserBrief_;
  };
  /** Whom one follows, by id. */
  my_following: {
    method: "GET";
    path: "/api/v1/users/me/following";
    query?: {
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: Page_UserBrief_;
  };
  /** The newest products of the shop. */
  new_products: {
    method: "GET";
    path: "/api/v1/products/new";
    query?: {
      /** How many products; default: the setting `serving.default_limit` (20). */
      limit?: number | null;
      /** 0: by score alone; 1: as diverse as possible. */
      diversity?: number;
      /** `next_cursor` of the previous page. */
      cursor?: string | null;
      /** Categories, each with its subcategories. */
      category?: Array<number | string> | null;
      /** Any of these brands. */
      brand?: Array<number | string> | null;
      min_price?: number | null;
      max_price?: number | null;
      /** Repeat for several; a product must have all. */
      tags?: Array<string> | null;
      /** true: in stock now, not only on order. */
      in_stock?: boolean | null;
      /** Added to the shop then or later; UTC where no zone is given. */
      created_since?: string | null;
      /** Products that must not appear. */
      exclude?: Array<number | string> | null;
      /** Fields of each item, separated by commas, among sku, name, price, compare_price, currency, image, url, brand, category, stock, slug. The ids are always there. */
      fields?: string | null;
    };
    response: RecommendationsOut;
  };
  /** The lists of one page for a user, a guest or a cart; no product is in two of them. */
  page_recommendations: {
    method: "POST";
    path: "/api/v1/recommendations";
    body: PageIn;
    response: PageOut;
  };
  /** Pay an order. A declined payment is a normal response: see its `status` and `failure_reason`. */
  pay: {
    method: "POST";
    path: "/api/v1/payments";
    headers: {
      /** Chosen by the client, new for each order, payment or refund. A repeated request with the same key has no further effect. */
      "Idempotency-Key": string;
    };
    body: PaymentIn;
    response: PaymentOut;
  };
  /** The products that most people chose recently: everywhere, in a category, or in a country. */
  popular_products: {
    method: "GET";
    path: "/api/v1/products/popular";
    query?: {
      /** How many products; default: the setting `serving.default_limit` (20). */
      limit?: number | null;
      /** ISO 3166 code: products recently sent to this country. */
      country?: string | null;
      /** 0: by score alone; 1: as diverse as possible. */
      diversity?: number;
      /** `next_cursor` of the previous page. */
      cursor?: string | null;
      /** Categories, each with its subcategories. */
      category?: Array<number | string> | null;
      /** Any of these brands. */
      brand?: Array<number | string> | null;
      min_price?: number | null;
      max_price?: number | null;
      /** Repeat for several; a product must have all. */
      tags?: Array<string> | null;
      /** true: in stock now, not only on order. */
      in_stock?: boolean | null;
      /** Added to the shop then or later; UTC where no zone is given. */
      created_since?: string | null;
      /** Products that must not appear. */
      exclude?: Array<number | string> | null;
      /** Fields of each item, separated by commas, among sku, name, price, compare_price, currency, image, url, brand, category, stock, slug. The ids are always there. */
      fields?: string | null;
    };
    response: RecommendationsOut;
  };
  /** Store feedback on one recommendation, or on up to 500, each with its own verdict. */
  post_feedback: {
    method: "POST";
    path: "/api/v1/recommendations/feedback";
    body: {
      /** When it happened, with time zone; default: now. A time ahead of now counts as now. */
      created_at?: string | null;
      /** The user whose feedback it is, by number; by username as `username:…` or in `username`. A logged-in user may leave it out. */
      user_id?: number | null;
      /** Instead of `user_id`. */
      username?: string | null;
      /** Of the answer's provenance: tells model and position, and whose list it was. Guests' feedback needs it. */
      request_id?: string | null;
      /** Which list of that response; default: the first that has the product. */
      shelf?: string | null;
      /** The session of a guest, as in the request. */
      session_id?: string | null;
      /** A stored recommendation of this user. */
      recommendation_id?: number | null;
      /** The product by number; by SKU as `sku:…` or in `sku`. Not needed with a recommendation_id. */
      product_id?: number | null;
      /** Instead of `product_id`. */
      sku?: string | null;
      /** What a user did with a recommendation (`recommendation_feedback.feedback_type`). */
      feedback_type: "shown" | "clicked" | "carted" | "purchased" | "rated" | "dismissed" | "restored";
      /** From 1 to 5; only with `rated`. */
      rating?: number | null;
      text?: string | null;
      /** The sender's own id, a UUID or any text: an event sent twice is stored once. */
      event_id?: string | null;
    } | Array<{
      /** When it happened, with time zone; default: now. A time ahead of now counts as now. */
      created_at?: string | null;
      /** The user whose feedback it is, by number; by username as `username:…` or in `username`. A logged-in user may leave it out. */
      user_id?: number | null;
      /** Instead of `user_id`. */
      username?: string | null;
      /** Of the answer's provenance: tells model and position, and whose list it was. Guests' feedback needs it. */
      request_id?: string | null;
      /** Which list of that response; default: the first that has the product. */
      shelf?: string | null;
      /** The session of a guest, as in the request. */
      session_id?: string | null;
      /** A stored recommendation of this user. */
      recommendation_id?: number | null;
      /** The product by number; by SKU as `sku:…` or in `sku`. Not needed with a recommendation_id. */
      product_id?: number | null;
      /** Instead of `product_id`. */
      sku?: string | null;
      /** What a user did with a recommendation (`recommendation_feedback.feedback_type`). */
      feedback_type: "shown" | "clicked" | "carted" | "purchased" | "rated" | "dismissed" | "restored";
      /** From 1 to 5; only with `rated`. */
      rating?: number | null;
      text?: string | null;
      /** The sender's own id, a UUID or any text: an event sent twice is stored once. */
      event_id?: string | null;
    }>;
    response: PostVerdicts;
  };
  /** Store one interaction, or up to 1,000, each with its own verdict. */
  post_interactions: {
    method: "POST";
    path: "/api/v1/interactions";
    body: {
      /** When it happened, with time zone; default: now. A time ahead of now counts as now. */
      created_at?: string | null;
      /** A user by number; by username as `username:…` or in `username`. */
      user_id?: number | null;
      /** Instead of `user_id`. */
      username?: string | null;
      /** A product by number; by SKU as `sku:…` or in `sku`. */
      product_id?: number | null;
      /** Instead of `product_id`. */
      sku?: string | null;
      /** What a user did with a product (`user_interactions.interaction_type`). A dismissal whose value is below zero takes dismissals back. */
      interaction_type: "view" | "like" | "add_to_cart" | "purchase" | "review" | "dismissed";
      /** Quantity, rating, seconds …; at most two decimals. A dismissal below 0 takes one back. */
      interaction_value?: number | string | null;
      /** Any other data of the event: up to 4 KiB of JSON. */
      context?: Record<string, unknown>;
      /** The session; without a user it identifies a guest. */
      session_id?: string | null;
      /** The sender's own id, a UUID or any text: an event sent twice is stored once. */
      event_id?: string | null;
    } | Array<{
      /** When it happened, with time zone; default: now. A time ahead of now counts as now. */
      created_at?: string | null;
      /** A user by number; by username as `username:…` or in `username`. */
      user_id?: number | null;
      /** Instead of `user_id`. */
      username?: string | null;
      /** A product by number; by SKU as `sku:…` or in `sku`. */
      product_id?: number | null;
      /** Instead of `product_id`. */
      sku?: string | null;
      /** What a user did with a product (`user_interactions.interaction_type`). A dismissal whose value is below zero takes dismissals back. */
      interaction_type: "view" | "like" | "add_to_cart" | "purchase" | "review" | "dismissed";
      /** Quantity, rating, seconds …; at most two decimals. A dismissal below 0 takes one back. */
      interaction_value?: number | string | null;
      /** Any other data of the event: up to 4 KiB of JSON. */
      context?: Record<string, unknown>;
      /** The session; without a user it identifies a guest. */
      session_id?: string | null;
      /** The sender's own id, a UUID or any text: an event sent twice is stored once. */
      event_id?: string | null;
    }>;
    response: PostVerdicts;
  };
  /** Review a product, or replace the caller's review of it; it is shown once it is approved. */
  post_review: {
    method: "PUT";
    path: "/api/v1/products/{product_id}/review";
    pathParameters: {
      product_id: number | string;
    };
    body: ReviewIn;
    response: ReviewOut;
  };
  /** Show a list as it would be with this rule in force, whatever its period; nothing is stored. */
  preview_rule: {
    method: "POST";
    path: "/api/v1/recommendations/rules/preview";
    body: RulePreviewIn;
    response: RulePreviewOut;
  };
  /** Allow or refuse purposes; the next request respects it. */
  put_consent: {
    method: "PUT";
    path: "/api/v1/consent";
    body: ConsentBody;
    response: ConsentBody;
  };
  /** Replace all stated preferences of the caller; what is left out is no longer stated. */
  put_preferences: {
    method: "PUT";
    path: "/api/v1/recommendations/preferences";
    body: Taste;
    response: PreferencesOut;
  };
  /** Replace the caller's preferences. */
  put_preferences_of_me: {
    method: "PUT";
    path: "/api/v1/users/me/preferences";
    body: Record<string, unknown>;
    response: Record<string, unknown>;
  };
  /** Put these in the place of the settings of now. */
  put_settings_of_me: {
    method: "PUT";
    path: "/api/v1/users/me/settings";
    body: Record<string, unknown>;
    response: Record<string, unknown>;
  };
  /** The current total of the cart with discount, tax and shipping. */
  quote_cart: {
    method: "GET";
    path: "/api/v1/cart/quote";
    query?: {
      discount_code?: string | null;
    };
    response: QuoteOut;
  };
  /** Read up to 500 products by number and 500 by SKU; those that do not exist are listed. */
  read_batch: {
    method: "POST";
    path: "/api/v1/products/batch";
    body: ProductBatchIn;
    response: ProductBatchOut;
  };
  /** Whether lists can be served: 503 with the reason when not, `degraded` when a part fails. */
  ready: {
    method: "GET";
    path: "/health/ready";
    response: Health;
  };
  /** Record that the caller views a product: a user, or a guest by the session of the visit. */
  record_view: {
    method: "POST";
    path: "/api/v1/products/{product_id}/views";
    pathParameters: {
      product_id: number | string;
    };
    response: ViewOut;
  };
  /** Make an account; log in with it next, which returns its id. */
  register: {
    method: "POST";
    path: "/api/v1/auth/register";
    body: RegisterIn;
    response: RegisteredOut;
  };
  /** Apply the rules of a set to everybody: they leave the set; 409 while an experiment compares it. */
  release_rule_set: {
    method: "POST";
    path: "/api/v1/recommendations/rules/sets/{rule_set}/release";
    pathParameters: {
      rule_set: string;
    };
    response: Array<RuleOut>;
  };
  /** Delete a saved address. */
  remove_address: {
    method: "DELETE";
    path: "/api/v1/addresses/{address_id}";
    pathParameters: {
      address_id: number;
    };
    response: void;
  };
  /** Remove a product, or one of its variants, from the cart; no error when it is not there. */
  remove_from_cart: {
    method: "DELETE";
    path: "/api/v1/cart/items/{product_id}";
    pathParameters: {
      product_id: number | string;
    };
    query?: {
      variant_id?: number | string | null;
    };
    response: CartOut;
  };
  /** Delete a saved payment method. */
  remove_method: {
    method: "DELETE";
    path: "/api/v1/payment-methods/{method_id}";
    pathParameters: {
      method_id: number;
    };
    response: void;
  };
  /** Replace a rule; 409 when it was changed since the version of `If-Match` was read. */
  replace_rule: {
    method: "PUT";
    path: "/api/v1/recommendations/rules/{rule_id}";
    pathParameters: {
      rule_id: number;
    };
    headers: {
      /** The version that was read, as in `ETag`: `"3"`; `*` for any. */
      "if-match": string;
    };
    body: RuleIn;
    response: RuleOut;
  };
  /** Have a code for a new password sent to an account's e-mail address. */
  request_password_reset: {
    method: "POST";
    path: "/api/v1/auth/password-reset";
    body: ResetRequestIn;
    response: unknown;
  };
  /** Choose a new password with the code; it is valid once, and every device is logged out. */
  reset_password: {
    method: "POST";
    path: "/api/v1/auth/password-reset/confirm";
    body: ResetIn;
    response: void;
  };
  /** Log every other device out. */
  revoke_other_sessions: {
    method: "DELETE";
    path: "/api/v1/users/me/sessions";
    response: void;
  };
  /** Log one device out. */
  revoke_session: {
    method: "DELETE";
    path: "/api/v1/users/me/sessions/{id}";
    pathParameters: {
      id: number;
    };
    response: void;
  };
  /** Products by words, filters or both; for a logged-in user in their own order. */
  search_products: {
    method: "GET";
    path: "/api/v1/search/products";
    query?: {
      /** Words, SKUs, numbers with units. */
      q?: string;
      category?: number | string | null;
      /** Counts for the first page. */
      facet?: Array<"category" | "brand" | "tags" | "price" | "rating" | "in_stock"> | null;
      sort?: "relevance" | "newest" | "name" | "price" | "-price" | "rating" | "popularity";
      highlight?: boolean;
      fuzzy?: boolean;
      personalised?: boolean;
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
      brand?: number | string | null;
      /** A product must have all. */
      tag?: Array<string> | null;
      min_price?: number | string | null;
      max_price?: number | string | null;
      min_rating?: number | string | null;
      in_stock?: boolean;
      featured?: boolean | null;
      /** Others are for administrators. */
      status?: string;
      /** Fields of each item, separated by commas, among sku, name, price, compare_price, currency, image, url, brand, category, stock, slug. The ids are always there. */
      fields?: string | null;
    };
    response: ProductsFound;
  };
  /** Users by name or bio, by place, and by how many follow them. */
  search_users: {
    method: "GET";
    path: "/api/v1/search/users";
    query?: {
      /** Words, SKUs, numbers with units. */
      q?: string;
      lat?: number | null;
      lon?: number | null;
      within_km?: number | null;
      active?: boolean | null;
      online?: boolean | null;
      min_followers?: number | null;
      min_following?: number | null;
      sort?: "relevance" | "newest" | "followers" | "distance";
      limit?: number;
      /** `next_cursor` of the page before. */
      cursor?: string | null;
    };
    response: UsersFound;
  };
  /** Set the quantity of a cart line; a repeated request changes nothing. */
  set_in_cart: {
    method: "PUT";
    path: "/api/v1/cart/items";
    body: CartItemIn;
    response: CartOut;
  };
  /** Choose the channels for notifications, in general and for single kinds of messages. */
  set_notification_preferences: {
    method: "PUT";
    path: "/api/v1/notification-preferences";
    body: ChannelsIn;
    response: ChannelsOut;
  };
  /** Products like this one. */
  similar_products: {
    method: "GET";
    path: "/api/v1/products/{product_id}/similar";
    pathParameters: {
      /** A number or `sku:…`. */
      product_id: number | string;
    };
    query?: {
      /** How many products; default: the setting `serving.default_limit` (20). */
      limit?: number | null;
      /** 0: by score alone; 1: as diverse as possible. */
      diversity?: number;
      /** `next_cursor` of the previous page. */
      cursor?: string | null;
      /** Categories, each with its subcategories. */
      category?: Array<number | string> | null;
      /** Any of these brands. */
      brand?: Array<number | string> | null;
      min_price?: number | null;
      max_price?: number | null;
      /** Repeat for several; a product must have all. */
      tags?: Array<string> | null;
      /** true: in stock now, not only on order. */
      in_stock?: boolean | null;
      /** Added to the shop then or later; UTC where no zone is given. */
      created_since?: string | null;
      /** Products that must not appear. */
      exclude?: Array<number | string> | null;
      /** Fields of each item, separated by commas, among sku, name, price, compare_price, currency, image, url, brand, category, stock, slug. The ids are always there. */
      fields?: string | null;
    };
    response: RecommendationsOut;
  };
  /** Lead to the script of web pages. */
  stable_script: {
    method: "GET";
    path: "/recsys.js";
    response: string | void;
  };
  /** Names of products that complete the typed text. */
  suggest: {
    method: "GET";
    path: "/api/v1/search/suggest";
    query: {
      /** Words, SKUs, numbers with units. */
      prefix: string;
      limit?: number;
    };
    response: Suggestions;
  };
  /** Take a block back. */
  unblock: {
    method: "DELETE";
    path: "/api/v1/users/me/blocked/{user_id}";
    pathParameters: {
      /** A number or `username:…`. */
      user_id: number | string;
    };
    response: void;
  };
  /** Stop following; no error when one didn't. */
  unfollow: {
    method: "DELETE";
    path: "/api/v1/users/me/following/{user_id}";
    pathParameters: {
      /** A number or `username:…`. */
      user_id: number | string;
    };
    response: void;
  };
  /** Products for one user: the stored list, else one ranked now from their history, else popular products. */
  user_recommendations: {
    method: "GET";
    path: "/api/v1/users/{user_id}/recommendations";
    pathParameters: {
      /** A number or `username:…`; an unknown number gets popular products. */
      user_id: number | string;
    };
    query?: {
      /** How many products; default: the setting `serving.default_limit` (20). */
      limit?: number | null;
      /** `new`: only products that the user has no interaction with. */
      novelty?: Novelty;
      /** 0: by score alone; 1: as diverse as possible. */
      diversity?: number;
      /** With the parts of each score, in the model's own units. */
      explain?: boolean;
      /** ISO 3166 code: products recently sent to this country. */
      country?: string | null;
      /** `next_cursor` of the previous page. */
      cursor?: string | null;
      /** Categories, each with its subcategories. */
      category?: Array<number | string> | null;
      /** Any of these brands. */
      brand?: Array<number | string> | null;
      min_price?: number | null;
      max_price?: number | null;
      /** Repeat for several; a product must have all. */
      tags?: Array<string> | null;
      /** true: in stock now, not only on order. */
      in_stock?: boolean | null;
      /** Added to the shop then or later; UTC where no zone is given. */
      created_since?: string | null;
      /** Products that must not appear. */
      exclude?: Array<number | string> | null;
      /** Fields of each item, separated by commas, among sku, name, price, compare_price, currency, image, url, brand, category, stock, slug. The ids are always there. */
      fields?: string | null;
      /** Which list; default: `for_you`. */
      placement?: Placement | null;
      /** The former name of `placement`. @deprecated */
      shelf?: Placement | null;
    };
    response: RecommendationsOut;
  };
  /** The script of web pages. The address of another version leads to this one. */
  versioned_script: {
    method: "GET";
    path: "/recsys.{version}.js";
    pathParameters: {
      version: string;
    };
    response: string | void;
  };
  /** Vote for a review as helpful; a second vote of the same user does not count. */
  vote_for_review: {
    method: "POST";
    path: "/api/v1/reviews/{review_id}/helpful";
    pathParameters: {
      review_id: number;
    };
    response: ReviewOut;
  };
  /** Signed events of the payment gateway; each is processed once. */
  webhook: {
    method: "POST";
    path: "/api/v1/payments/webhooks/{gateway}";
    pathParameters: {
      gateway: string;
    };
    headers: {
      "Webhook-Signature": string;
    };
    body: {
      id: string;
      type: string;
      /** Key of our request to the gateway. */
      key: string;
      transaction_id?: string | null;
      code?: string | null;
    };
    response: WebhookOut;
  };
  /** Why a product is in a list now, or the step that lost it. */
  why_product: {
    method: "GET";
    path: "/api/v1/recommendations/why";
    query: {
      /** The product that the question is about. */
      product: number | string;
      /** The user; neither: a list for everybody. */
      user?: number | string | null;
      /** The guest's session. */
      session_id?: string | null;
      /** The products that the page displays. */
      page_product?: Array<number | string> | null;
      /** How many products; default: the setting `serving.default_limit` (20). */
      limit?: number | null;
      /** `new`: only products that the user has no interaction with. */
      novelty?: Novelty;
      /** 0: by score alone; 1: as diverse as possible. */
      diversity?: number;
      /** Categories, each with its subcategories. */
      category?: Array<number | string> | null;
      /** Any of these brands. */
      brand?: Array<number | string> | null;
      min_price?: number | null;
      max_price?: number | null;
      /** Repeat for several; a product must have all. */
      tags?: Array<string> | null;
      /** true: in stock now, not only on order. */
      in_stock?: boolean | null;
      /** Added to the shop then or later; UTC where no zone is given. */
      created_since?: string | null;
      /** Products that must not appear. */
      exclude?: Array<number | string> | null;
      /** Which list; default: `for_you`. */
      placement?: Placement | null;
      /** The former name of `placement`. @deprecated */
      shelf?: Placement | null;
    };
    response: ProductTrace;
  };
  /** Whether a product was in a list at a past moment, from the impressions, and why not. */
  why_product_then: {
    method: "GET";
    path: "/api/v1/recommendations/why/past";
    query: {
      /** The product that the question is about. */
      product: number | string;
      /** The moment; the last list shown up to it is meant. */
      at: string;
      /** The user; neither: a list for everybody. */
      user?: number | string | null;
      /** The guest's session. */
      session_id?: string | null;
      /** The placement, or the name of the list. */
      placement?: string;
    };
    response: PastTrace;
  };
}
