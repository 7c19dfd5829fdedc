package libfido

/*
#include <fido.h>
*/
import "C"

import (
	"context"
	"errors"
	"unsafe"

	libfido2 "github.com/keys-pub/go-libfido2"

	"github.com/fobproject/fob/internal/fido"
)

// Info reads what the key says of itself and, where it has a PIN, the PIN retries left.
func Info(ctx context.Context, a fido.InfoArgs) (fido.Info, error) {
	var info fido.Info
	err := bounded(ctx, a.Target, false, func(s *session) error {
		err := s.on(func(d *device) (err error) {
			info, err = d.info()
			return err
		})
		// Some keys crash when asked for the retries of a PIN that they do not have.
		if err != nil || !info.HasPIN() {
			return err
		}
		key, err := libfido2.NewDevice(s.target.Path)
		if err != nil {
			return bindingError(err)
		}
		n, err := key.RetryCount()
		if err != nil {
			return bindingError(err)
		}
		info.PINRetries = &n
		return nil
	})
	if err != nil {
		return fido.Info{}, err // info may still be written to
	}
	return info, nil
}

// info asks for authenticatorGetInfo; of a U2F key it says only that it is one.
func (d *device) info() (fido.Info, error) {
	if !d.isFIDO2() {
		return fido.Info{}, nil
	}
	c := C.fido_cbor_info_new()
	if c == nil {
		return fido.Info{}, failure(C.FIDO_ERR_INTERNAL, "out of memory")
	}
	defer C.fido_cbor_info_free(&c)
	d.arm()
	if r := C.fido_dev_get_cbor_info(d.c, c); r != C.FIDO_OK {
		return fido.Info{}, failure(r, "cannot read what the key says of itself")
	}
	info := fido.Info{
		FIDO2:          true,
		Versions:       goStrings(C.fido_cbor_info_versions_ptr(c), C.fido_cbor_info_versions_len(c)),
		Extensions:     goStrings(C.fido_cbor_info_extensions_ptr(c), C.fido_cbor_info_extensions_len(c)),
		AAGUID:         goBytes(C.fido_cbor_info_aaguid_ptr(c), C.fido_cbor_info_aaguid_len(c)),
		Options:        map[string]bool{},
		MinPIN:         int(C.fido_cbor_info_minpinlen(c)),
		Firmware:       uint64(C.fido_cbor_info_fwversion(c)),
		NewPINRequired: bool(C.fido_cbor_info_new_pin_required(c)),
		MaxCredIDLen:   clampInt(C.fido_cbor_info_maxcredidlen(c)),
		MaxCredCount:   clampInt(C.fido_cbor_info_maxcredcntlst(c)),
	}
	if info.MinPIN == 0 {
		info.MinPIN = 4 // CTAP 2.1 §6.4, minPINLength
	}
	names := goStrings(C.fido_cbor_info_options_name_ptr(c), C.fido_cbor_info_options_len(c))
	if len(names) > 0 {
		for i, v := range unsafe.Slice(C.fido_cbor_info_options_value_ptr(c), len(names)) {
			info.Options[names[i]] = bool(v)
		}
	}
	for i := range C.fido_cbor_info_algorithm_count(c) {
		info.Algorithms = append(info.Algorithms, int(C.fido_cbor_info_algorithm_cose(c, i)))
	}
	for _, p := range goBytes((*C.uchar)(C.fido_cbor_info_protocols_ptr(c)), C.fido_cbor_info_protocols_len(c)) {
		info.Protocols = append(info.Protocols, int(p))
	}
	return info, nil
}

// clampInt keeps a key's absurd limit from turning negative.
func clampInt(n C.uint64_t) int { return int(min(n, 1<<31-1)) }

// bindingCodes are libfido2's codes of the errors that go-libfido2 has names for; it keeps the
// others' as they are.
var bindingCodes = map[error]C.int{
	libfido2.ErrTX:                   C.FIDO_ERR_TX,
	libfido2.ErrRX:                   C.FIDO_ERR_RX,
	libfido2.ErrInvalidArgument:      C.FIDO_ERR_INVALID_ARGUMENT,
	libfido2.ErrUserPresenceRequired: C.FIDO_ERR_USER_PRESENCE_REQUIRED,
	libfido2.ErrInvalidCommand:       C.FIDO_ERR_INVALID_COMMAND,
	libfido2.ErrInvalidLength:        C.FIDO_ERR_INVALID_LENGTH,
	libfido2.ErrMissingParameter:     C.FIDO_ERR_MISSING_PARAMETER,
	libfido2.ErrNotAllowed:           C.FIDO_ERR_NOT_ALLOWED,
	libfido2.ErrActionTimeout:        C.FIDO_ERR_ACTION_TIMEOUT,
	libfido2.ErrPinNotSet:            C.FIDO_ERR_PIN_NOT_SET,
	libfido2.ErrInvalidCredential:    C.FIDO_ERR_INVALID_CREDENTIAL,
	libfido2.ErrUnsupportedOption:    C.FIDO_ERR_UNSUPPORTED_OPTION,
	libfido2.ErrPinInvalid:           C.FIDO_ERR_PIN_INVALID,
	libfido2.ErrRXNotCBOR:            C.FIDO_ERR_RX_NOT_CBOR,
	libfido2.ErrInternal:             C.FIDO_ERR_INTERNAL,
	libfido2.ErrPinPolicyViolation:   C.FIDO_ERR_PIN_POLICY_VIOLATION,
	libfido2.ErrNoCredentials:        C.FIDO_ERR_NO_CREDENTIALS,
	libfido2.ErrPinAuthBlocked:       C.FIDO_ERR_PIN_AUTH_BLOCKED,
	libfido2.ErrPinRequired:          C.FIDO_ERR_PIN_REQUIRED,
	libfido2.ErrUPRequired:           C.FIDO_ERR_UP_REQUIRED,
	libfido2.ErrRXInvalidCBOR:        C.FIDO_ERR_RX_INVALID_CBOR,
	libfido2.ErrOperationDenied:      C.FIDO_ERR_OPERATION_DENIED,
	libfido2.ErrKeepaliveCancel:      C.FIDO_ERR_KEEPALIVE_CANCEL,
	libfido2.ErrInvalidOption:        C.FIDO_ERR_INVALID_OPTION,
	libfido2.ErrOther:                C.FIDO_ERR_ERR_OTHER,
}

// bindingError gives libfido2's own code back to an error of go-libfido2.
func bindingError(err error) error {
	if e, ok := errors.AsType[libfido2.Error](err); ok {
		return failure(C.int(e.Code), "")
	}
	for known, code := range bindingCodes {
		if errors.Is(err, known) {
			return failure(code, "")
		}
	}
	return failure(C.FIDO_ERR_INTERNAL, err.Error())
}
