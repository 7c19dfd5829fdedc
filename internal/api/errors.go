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
