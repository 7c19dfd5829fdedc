package api

import "fmt"

// Code is a stable error code. Each has one HTTP status, one D-Bus error name and one exit code of
// the fob command, all in the table below.
type Code string

// The codes.
const (
	CodeInternal      Code = "internal"
	CodeBadRequest    Code = "bad_request"
	CodeTooLarge      Code = "too_large"
	CodeForbidden     Code = "forbidden"
	CodeNotFound      Code = "not_found"
	CodeUnknownUser   Code = "unknown_user"
	CodeUserChanged   Code = "user_changed"
	CodeNoMethod      Code = "no_method"
	CodeNoKey         Code = "no_key"
	CodeKeyNotOwn     Code = "key_not_registered"
	CodeKeyRegistered Code = "key_already_registered"
	CodeKeyFailed     Code = "key_failed"
	CodeKeyBusy       Code = "key_busy"
	CodeKeyBadAnswer  Code = "key_bad_answer"
	CodePossibleClone Code = "possible_clone"
	CodeUnsupported   Code = "unsupported"
	CodePINWrong      Code = "pin_wrong"
	CodePINBlocked    Code = "pin_blocked"
	CodePINReplug     Code = "pin_replug"
	CodePINFewRetries Code = "pin_few_retries"
	CodePINNotSet     Code = "pin_not_set"
	CodePINPolicy     Code = "pin_policy"
	CodePINWrongPlace Code = "pin_wrong_place"
	CodeNotAllowed    Code = "not_allowed_now"
	CodeTooMany       Code = "too_many_pending"
	CodeNotPending    Code = "not_pending"
	CodeLastMethod    Code = "last_method"
	CodeNameTaken     Code = "name_taken"
	CodeStorage       Code = "storage"
	CodeTouchTimeout  Code = "touch_timeout"
	CodeShuttingDown  Code = "shutting_down"
	CodeCallerGone    Code = "caller_gone"
	CodeNotConfirmed  Code = "not_confirmed"
	CodeConflict      Code = "conflict"
	CodeNoToken       Code = "no_token"
	CodeNotStrong     Code = "not_strong_enough"
	CodeCodeWrong     Code = "code_wrong"
	CodeCodeUsed      Code = "code_used"
	CodeOutOfStep     Code = "token_out_of_step"
	CodeLockedOut     Code = "locked_out"
	CodeClockBack     Code = "clock_went_back"
	CodeTokenExists   Code = "token_exists"
	CodeTokenAssigned Code = "token_assigned"
	CodeTokenDisabled Code = "token_disabled"
	CodeTokenActive   Code = "token_active"
	CodeTokenUsed     Code = "token_used"
	CodeImport        Code = "import_refused"
	CodeNotEmpty      Code = "not_empty"
	CodeSealed        Code = "sealed"
	CodeWrongSecret   Code = "wrong_secret"
	CodeSecretWeak    Code = "secret_weak"
	CodeLastSlot      Code = "last_slot"
	CodeKeeperAway    Code = "keyring_away"
	CodePlace         Code = "wrong_place"
	CodeAsker         Code = "asker_is_approver"
	CodeKeyModel      Code = "key_model"
	CodeCannotAsk     Code = "cannot_ask"
	CodeTooFast       Code = "too_fast"
	CodeThrottled     Code = "throttled"
	CodeBlocked       Code = "blocked"
	CodeNotRemembered Code = "not_rememberable"
	CodeNotFirst      Code = "not_authorized"
	CodeHelpdesk      Code = "helpdesk_code_wrong"
	CodeLogBroken     Code = "log_broken"
	CodeNumberWrong   Code = "number_wrong"
	CodeNoCard        Code = "no_card"
	CodeNoCardService Code = "no_card_service"
	CodeCardBusy      Code = "card_busy"
	CodeCardFailed    Code = "card_failed"
	CodeCardBadAnswer Code = "card_bad_answer"
	CodeCardLocked    Code = "card_locked"
	CodeCardPassword  Code = "card_password_wrong"
	CodeCardFull      Code = "card_full"
	CodeCardTooOld    Code = "card_too_old"
	CodeAccountExists Code = "account_exists"
	CodeHalfWritten   Code = "half_written"
)

// Exit codes of the fob command.
const (
	ExitOK        = 0
	ExitDenied    = 1
	ExitUsage     = 2
	ExitNoDaemon  = 3
	ExitLocked    = 4
	ExitNotFound  = 5
	ExitDevice    = 6
	ExitInternal  = 7
	ExitForbidden = 8
)

// Meaning is what a code becomes at each door.
type Meaning struct {
	HTTP int    // status
	DBus string // error name
	Exit int    // exit code of fob
}

// busPrefix is what every D-Bus error name begins with.
const busPrefix = "io.github.fobproject.Fob1.Error."

var meanings = map[Code]Meaning{
	CodeInternal:      {500, busPrefix + "Internal", ExitInternal},
	CodeBadRequest:    {400, busPrefix + "BadRequest", ExitUsage},
	CodeTooLarge:      {413, busPrefix + "TooLarge", ExitUsage},
	CodeForbidden:     {403, busPrefix + "Forbidden", ExitForbidden},
	CodeNotFound:      {404, busPrefix + "NotFound", ExitNotFound},
	CodeUnknownUser:   {404, busPrefix + "UnknownUser", ExitNotFound},
	CodeUserChanged:   {403, busPrefix + "UserChanged", ExitForbidden},
	CodeNoMethod:      {404, busPrefix + "NoMethod", ExitNotFound},
	CodeNoKey:         {409, busPrefix + "NoKey", ExitDevice},
	CodeKeyNotOwn:     {409, busPrefix + "KeyNotRegistered", ExitDevice},
	CodeKeyRegistered: {409, busPrefix + "KeyAlreadyRegistered", ExitDevice},
	CodeKeyFailed:     {502, busPrefix + "KeyFailed", ExitDevice},
	CodeKeyBusy:       {409, busPrefix + "KeyBusy", ExitDevice},
	CodeKeyBadAnswer:  {502, busPrefix + "KeyBadAnswer", ExitDevice},
	CodePossibleClone: {409, busPrefix + "PossibleClone", ExitDevice},
	CodeUnsupported:   {409, busPrefix + "Unsupported", ExitDevice},
	CodePINWrong:      {403, busPrefix + "PINWrong", ExitDevice},
	CodePINBlocked:    {403, busPrefix + "PINBlocked", ExitDevice},
	CodePINReplug:     {403, busPrefix + "PINReplug", ExitDevice},
	CodePINFewRetries: {403, busPrefix + "PINFewRetries", ExitDevice},
	CodePINNotSet:     {409, busPrefix + "PINNotSet", ExitDevice},
	CodePINPolicy:     {422, busPrefix + "PINPolicy", ExitDevice},
	CodePINWrongPlace: {403, busPrefix + "PINWrongPlace", ExitForbidden},
	CodeNotAllowed:    {409, busPrefix + "NotAllowedNow", ExitDevice},
	CodeTooMany:       {429, busPrefix + "TooManyPending", ExitLocked},
	CodeNotPending:    {409, busPrefix + "NotPending", ExitNotFound},
	CodeLastMethod:    {409, busPrefix + "LastMethod", ExitUsage},
	CodeNameTaken:     {409, busPrefix + "NameTaken", ExitUsage},
	CodeStorage:       {507, busPrefix + "Storage", ExitInternal},
	CodeTouchTimeout:  {408, busPrefix + "TouchTimeout", ExitDenied},
	CodeShuttingDown:  {503, busPrefix + "ShuttingDown", ExitNoDaemon},
	CodeCallerGone:    {499, busPrefix + "CallerGone", ExitDenied},
	CodeNotConfirmed:  {409, busPrefix + "NotConfirmed", ExitDenied},
	CodeConflict:      {409, busPrefix + "Conflict", ExitUsage},
	CodeNoToken:       {404, busPrefix + "NoToken", ExitNotFound},
	CodeNotStrong:     {409, busPrefix + "NotStrongEnough", ExitNotFound},
	CodeCodeWrong:     {403, busPrefix + "CodeWrong", ExitDenied},
	CodeCodeUsed:      {403, busPrefix + "CodeUsed", ExitDenied},
	CodeOutOfStep:     {409, busPrefix + "TokenOutOfStep", ExitDevice},
	CodeLockedOut:     {429, busPrefix + "LockedOut", ExitLocked},
	CodeClockBack:     {409, busPrefix + "ClockWentBack", ExitDevice},
	CodeTokenExists:   {409, busPrefix + "TokenExists", ExitUsage},
	CodeTokenAssigned: {409, busPrefix + "TokenAssigned", ExitUsage},
	CodeTokenDisabled: {403, busPrefix + "TokenDisabled", ExitDenied},
	CodeTokenActive:   {409, busPrefix + "TokenActive", ExitUsage},
	CodeTokenUsed:     {409, busPrefix + "TokenUsed", ExitUsage},
	CodeImport:        {422, busPrefix + "ImportRefused", ExitUsage},
	CodeNotEmpty:      {409, busPrefix + "NotEmpty", ExitUsage},
	CodeSealed:        {423, busPrefix + "Sealed", ExitLocked},
	CodeWrongSecret:   {403, busPrefix + "WrongSecret", ExitDenied},
	CodeSecretWeak:    {422, busPrefix + "SecretWeak", ExitUsage},
	CodeLastSlot:      {409, busPrefix + "LastSlot", ExitUsage},
	CodeKeeperAway:    {409, busPrefix + "KeyringAway", ExitDevice},
	CodePlace:         {403, busPrefix + "WrongPlace", ExitForbidden},
	CodeAsker:         {403, busPrefix + "AskerIsApprover", ExitForbidden},
	CodeKeyModel:      {403, busPrefix + "KeyModel", ExitForbidden},
	CodeCannotAsk:     {409, busPrefix + "CannotAsk", ExitNotFound},
	CodeTooFast:       {429, busPrefix + "TooFast", ExitLocked},
	CodeThrottled:     {429, busPrefix + "Throttled", ExitLocked},
	CodeBlocked:       {429, busPrefix + "Blocked", ExitLocked},
	CodeNotRemembered: {409, busPrefix + "NotRememberable", ExitUsage},
	CodeNotFirst:      {403, busPrefix + "NotAuthorized", ExitForbidden},
	CodeHelpdesk:      {403, busPrefix + "HelpdeskCodeWrong", ExitDenied},
	CodeLogBroken:     {409, busPrefix + "LogBroken", ExitInternal},
	CodeNumberWrong:   {403, busPrefix + "NumberWrong", ExitDenied},
	CodeNoCard:        {404, busPrefix + "NoCard", ExitNotFound},
	CodeNoCardService: {503, busPrefix + "NoCardService", ExitDevice},
	CodeCardBusy:      {409, busPrefix + "CardBusy", ExitDevice},
	CodeCardFailed:    {502, busPrefix + "CardFailed", ExitDevice},
	CodeCardBadAnswer: {502, busPrefix + "CardBadAnswer", ExitDevice},
	CodeCardLocked:    {423, busPrefix + "CardLocked", ExitLocked},
	CodeCardPassword:  {403, busPrefix + "CardPasswordWrong", ExitDevice},
	CodeCardFull:      {409, busPrefix + "CardFull", ExitDevice},
	CodeCardTooOld:    {409, busPrefix + "CardTooOld", ExitDevice},
	CodeAccountExists: {409, busPrefix + "AccountExists", ExitUsage},
	CodeHalfWritten:   {500, busPrefix + "HalfWritten", ExitDevice},
}

// Codes lists every code, in no order.
func Codes() []Code {
	all := make([]Code, 0, len(meanings))
	for c := range meanings {
		all = append(all, c)
	}
	return all
}

// Meaning looks the code up; an unknown one means what "internal" means.
func (c Code) Meaning() Meaning {
	if m, ok := meanings[c]; ok {
		return m
	}
	return meanings[CodeInternal]
}

// CodeOfBusName finds the code of a D-Bus error name; "internal" if it is none of Fob's.
func CodeOfBusName(name string) Code {
	for c, m := range meanings {
		if m.DBus == name {
			return c
		}
	}
	return CodeInternal
}

// Error is an error as it crosses a door: a code for programs, and a message for people that says
// what happened and what to do next. It holds no secrets.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Is reports whether target is an *Error with the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Message == "" || t.Message == e.Message)
}

// Errorf makes an Error.
func Errorf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}

// ErrorBody is what every failed HTTP call answers.
type ErrorBody struct {
	Error *Error `json:"error"`
}
