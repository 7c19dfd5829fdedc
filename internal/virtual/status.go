package virtual

import "fmt"

// Status is the first byte of a CTAP answer (CTAP 2.1 §8.2). It is an error where it is not StatusOK.
type Status byte

// The answers that this key gives.
const (
	StatusOK                     Status = 0x00
	StatusInvalidCommand         Status = 0x01
	StatusInvalidParameter       Status = 0x02
	StatusInvalidLength          Status = 0x03
	StatusCBORUnexpectedType     Status = 0x11
	StatusInvalidCBOR            Status = 0x12
	StatusMissingParameter       Status = 0x14
	StatusLimitExceeded          Status = 0x15
	StatusCredentialExcluded     Status = 0x19
	StatusUnsupportedAlgorithm   Status = 0x26
	StatusOperationDenied        Status = 0x27
	StatusKeyStoreFull           Status = 0x28
	StatusUnsupportedOption      Status = 0x2b
	StatusInvalidOption          Status = 0x2c
	StatusKeepaliveCancel        Status = 0x2d
	StatusNoCredentials          Status = 0x2e
	StatusUserActionTimeout      Status = 0x2f
	StatusNotAllowed             Status = 0x30
	StatusPINInvalid             Status = 0x31
	StatusPINBlocked             Status = 0x32
	StatusPINAuthInvalid         Status = 0x33
	StatusPINAuthBlocked         Status = 0x34
	StatusPINNotSet              Status = 0x35
	StatusPUATRequired           Status = 0x36
	StatusPINPolicyViolation     Status = 0x37
	StatusRequestTooLarge        Status = 0x39
	StatusInvalidSubcommand      Status = 0x3e
	StatusUnauthorizedPermission Status = 0x40
	StatusOther                  Status = 0x7f
)

var statusNames = map[Status]string{
	StatusOK:                     "SUCCESS",
	StatusInvalidCommand:         "INVALID_COMMAND",
	StatusInvalidParameter:       "INVALID_PARAMETER",
	StatusInvalidLength:          "INVALID_LENGTH",
	StatusCBORUnexpectedType:     "CBOR_UNEXPECTED_TYPE",
	StatusInvalidCBOR:            "INVALID_CBOR",
	StatusMissingParameter:       "MISSING_PARAMETER",
	StatusLimitExceeded:          "LIMIT_EXCEEDED",
	StatusCredentialExcluded:     "CREDENTIAL_EXCLUDED",
	StatusUnsupportedAlgorithm:   "UNSUPPORTED_ALGORITHM",
	StatusOperationDenied:        "OPERATION_DENIED",
	StatusKeyStoreFull:           "KEY_STORE_FULL",
	StatusUnsupportedOption:      "UNSUPPORTED_OPTION",
	StatusInvalidOption:          "INVALID_OPTION",
	StatusKeepaliveCancel:        "KEEPALIVE_CANCEL",
	StatusNoCredentials:          "NO_CREDENTIALS",
	StatusUserActionTimeout:      "USER_ACTION_TIMEOUT",
	StatusNotAllowed:             "NOT_ALLOWED",
	StatusPINInvalid:             "PIN_INVALID",
	StatusPINBlocked:             "PIN_BLOCKED",
	StatusPINAuthInvalid:         "PIN_AUTH_INVALID",
	StatusPINAuthBlocked:         "PIN_AUTH_BLOCKED",
	StatusPINNotSet:              "PIN_NOT_SET",
	StatusPUATRequired:           "PUAT_REQUIRED",
	StatusPINPolicyViolation:     "PIN_POLICY_VIOLATION",
	StatusRequestTooLarge:        "REQUEST_TOO_LARGE",
	StatusInvalidSubcommand:      "INVALID_SUBCOMMAND",
	StatusUnauthorizedPermission: "UNAUTHORIZED_PERMISSION",
	StatusOther:                  "OTHER",
}

// String is the standard's name without its CTAP1_ERR_ or CTAP2_ERR_.
func (s Status) String() string {
	if n, ok := statusNames[s]; ok {
		return n
	}
	return fmt.Sprintf("0x%02x", byte(s))
}

func (s Status) Error() string { return "the key answers " + s.String() }
