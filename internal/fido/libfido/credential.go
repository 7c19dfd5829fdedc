package libfido

/*
#include <fido.h>
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"crypto/sha256"
	"slices"

	libfido2 "github.com/keys-pub/go-libfido2"

	"github.com/fobproject/fob/internal/fido"
)

// Make makes a credential.
func Make(ctx context.Context, a fido.MakeArgs) (fido.Attestation, error) {
	defer clear(a.PIN)
	switch {
	case a.RPID == "" || !text(a.RPID) || !text(a.RPName):
		return fido.Attestation{}, badArgument("the relying party")
	case len(a.UserID) == 0 || len(a.UserID) > 64 || !text(a.UserName):
		return fido.Attestation{}, badArgument("the user")
	case len(a.ClientDataHash) != sha256.Size:
		return fido.Attestation{}, badArgument("the client data hash")
	case !validIDs(a.Exclude):
		return fido.Attestation{}, badArgument("the exclude list")
	case !validPIN(a.PIN):
		return fido.Attestation{}, failure(C.FIDO_ERR_PIN_INVALID, "no key has this PIN")
	}
	var at fido.Attestation
	err := bounded(ctx, a.Target, true, func(s *session) error {
		return s.on(func(d *device) (err error) {
			at, err = d.make(a)
			return err
		})
	})
	if err != nil {
		return fido.Attestation{}, err
	}
	return at, nil
}

func (d *device) make(a fido.MakeArgs) (fido.Attestation, error) {
	if a.HMACSecret {
		if err := d.needHMACSecret(); err != nil {
			return fido.Attestation{}, err
		}
	}
	exclude, err := d.shorten(a.RPID, a.Exclude)
	if err != nil {
		return fido.Attestation{}, err
	}
	c := C.fido_cred_new()
	if c == nil {
		return fido.Attestation{}, failure(C.FIDO_ERR_INTERNAL, "out of memory")
	}
	defer C.fido_cred_free(&c)
	rpID, rpName, userName := C.CString(a.RPID), C.CString(a.RPName), C.CString(a.UserName)
	defer C.free(unsafePointer(rpID))
	defer C.free(unsafePointer(rpName))
	defer C.free(unsafePointer(userName))

	steps := []func() C.int{
		func() C.int {
			return C.fido_cred_set_clientdata_hash(c, cBytes(a.ClientDataHash), C.size_t(len(a.ClientDataHash)))
		},
		func() C.int { return C.fido_cred_set_rp(c, rpID, rpName) },
		func() C.int {
			return C.fido_cred_set_user(c, cBytes(a.UserID), C.size_t(len(a.UserID)), userName, nil, nil)
		},
		func() C.int { return C.fido_cred_set_type(c, C.int(libfido2.CredentialType(a.Algorithm))) },
	}
	for _, id := range exclude {
		steps = append(steps, func() C.int { return C.fido_cred_exclude(c, cBytes(id), C.size_t(len(id))) })
	}
	if a.UV && len(a.PIN) == 0 {
		steps = append(steps, func() C.int { return C.fido_cred_set_uv(c, C.FIDO_OPT_TRUE) })
	}
	if a.HMACSecret {
		steps = append(steps, func() C.int { return C.fido_cred_set_extensions(c, C.FIDO_EXT_HMAC_SECRET) })
	}
	for _, step := range steps {
		if r := step(); r != C.FIDO_OK {
			return fido.Attestation{}, failure(r, "cannot prepare the credential")
		}
	}
	pin, free := cPIN(a.PIN)
	defer free()
	d.arm()
	if r := C.fido_dev_make_cred(d.c, c, pin); r != C.FIDO_OK {
		return fido.Attestation{}, failure(r, "cannot make a credential")
	}
	at := fido.Attestation{
		Format:    C.GoString(C.fido_cred_fmt(c)),
		AuthData:  goBytes(C.fido_cred_authdata_raw_ptr(c), C.fido_cred_authdata_raw_len(c)),
		Statement: goBytes(C.fido_cred_attstmt_ptr(c), C.fido_cred_attstmt_len(c)),
	}
	if at.AuthData == nil { // libfido2 makes a U2F key's up itself, and in the wrapped form only
		at.AuthData, err = byteString(goBytes(C.fido_cred_authdata_ptr(c), C.fido_cred_authdata_len(c)))
		if err != nil {
			return fido.Attestation{}, failure(C.FIDO_ERR_RX_INVALID_CBOR, "cannot read the authenticator data")
		}
	}
	return at, nil
}

// needHMACSecret fails on a key that would ignore that it is asked for a secret, before it is touched.
func (d *device) needHMACSecret() error {
	info, err := d.info()
	if err == nil && !info.SupportsHMACSecret() {
		err = failure(C.FIDO_ERR_UNSUPPORTED_EXTENSION, "the key has no hmac-secret")
	}
	return err
}

// Assert asks for assertions.
func Assert(ctx context.Context, a fido.AssertArgs) (fido.AssertResult, error) {
	defer clear(a.PIN)
	switch {
	case a.RPID == "" || !text(a.RPID):
		return fido.AssertResult{}, badArgument("the relying party")
	case len(a.ClientDataHash) != sha256.Size:
		return fido.AssertResult{}, badArgument("the client data hash")
	case !validIDs(a.Allow):
		return fido.AssertResult{}, badArgument("the allow list")
	case a.Salt != nil && (len(a.Salt) != fido.SaltLen || len(a.Allow) != 1 || a.Silent):
		return fido.AssertResult{}, badArgument("the salt")
	case !validPIN(a.PIN):
		return fido.AssertResult{}, failure(C.FIDO_ERR_PIN_INVALID, "no key has this PIN")
	}
	var all []fido.Assertion
	err := bounded(ctx, a.Target, !a.Silent, func(s *session) error {
		return s.on(func(d *device) error {
			allow, err := d.shorten(a.RPID, a.Allow)
			if err != nil {
				return err
			}
			if len(allow) == 0 && len(a.Allow) > 0 {
				// An empty list would mean "any credential".
				return failure(C.FIDO_ERR_NO_CREDENTIALS, "")
			}
			a.Allow = allow
			all, err = d.assert(a)
			return err
		})
	})
	if err != nil {
		return fido.AssertResult{}, err
	}
	return fido.AssertResult{Assertions: all}, nil
}

func (d *device) assert(a fido.AssertArgs) ([]fido.Assertion, error) {
	if a.Silent && !d.isFIDO2() {
		return d.silentU2F(a)
	}
	if a.Salt != nil {
		if err := d.needHMACSecret(); err != nil {
			return nil, err
		}
	}
	c, r := d.getAssert(a)
	defer C.fido_assert_free(&c) // which wipes the secret
	if r != C.FIDO_OK {
		return nil, failure(r, "cannot get an assertion")
	}
	var all []fido.Assertion
	for i := range C.fido_assert_count(c) {
		authData, err := byteString(goBytes(C.fido_assert_authdata_ptr(c, i), C.fido_assert_authdata_len(c, i)))
		if err != nil {
			return nil, failure(C.FIDO_ERR_RX_INVALID_CBOR, "cannot read the authenticator data")
		}
		all = append(all, fido.Assertion{
			CredentialID: goBytes(C.fido_assert_id_ptr(c, i), C.fido_assert_id_len(c, i)),
			AuthData:     authData,
			Signature:    goBytes(C.fido_assert_sig_ptr(c, i), C.fido_assert_sig_len(c, i)),
			Secret:       goBytes(C.fido_assert_hmac_secret_ptr(c, i), C.fido_assert_hmac_secret_len(c, i)),
		})
	}
	// CTAP 2.1 §6.2.2: a key may leave the credential out where only one was allowed.
	if len(all) == 1 && len(all[0].CredentialID) == 0 && len(a.Allow) == 1 {
		all[0].CredentialID = a.Allow[0]
	}
	return all, nil
}

// getAssert runs one getAssertion. The caller frees what it gives back.
func (d *device) getAssert(a fido.AssertArgs) (*C.fido_assert_t, C.int) {
	c := C.fido_assert_new()
	if c == nil {
		return nil, C.FIDO_ERR_INTERNAL
	}
	rpID := C.CString(a.RPID)
	defer C.free(unsafePointer(rpID))
	if r := C.fido_assert_set_rp(c, rpID); r != C.FIDO_OK {
		return c, r
	}
	if r := C.fido_assert_set_clientdata_hash(c, cBytes(a.ClientDataHash), C.size_t(len(a.ClientDataHash))); r != C.FIDO_OK {
		return c, r
	}
	for _, id := range a.Allow {
		if r := C.fido_assert_allow_cred(c, cBytes(id), C.size_t(len(id))); r != C.FIDO_OK {
			return c, r
		}
	}
	if a.Salt != nil {
		if r := C.fido_assert_set_extensions(c, C.FIDO_EXT_HMAC_SECRET); r != C.FIDO_OK {
			return c, r
		}
		if r := C.fido_assert_set_hmac_salt(c, cBytes(a.Salt), C.size_t(len(a.Salt))); r != C.FIDO_OK {
			return c, r
		}
	}
	if a.Silent {
		if r := C.fido_assert_set_up(c, C.FIDO_OPT_FALSE); r != C.FIDO_OK {
			return c, r
		}
	}
	if a.UV && len(a.PIN) == 0 {
		if r := C.fido_assert_set_uv(c, C.FIDO_OPT_TRUE); r != C.FIDO_OK {
			return c, r
		}
	}
	pin, free := cPIN(a.PIN)
	defer free()
	d.arm()
	return c, C.fido_dev_get_assert(d.c, c, pin)
}

// silentU2F asks a U2F key for each credential whether it holds it: libfido2 then says "user presence
// required" of the first one held. Such a key gives nothing but the credential's identity.
func (d *device) silentU2F(a fido.AssertArgs) ([]fido.Assertion, error) {
	var held []fido.Assertion
	for _, id := range a.Allow {
		one := a
		one.Allow = [][]byte{id}
		c, r := d.getAssert(one)
		C.fido_assert_free(&c)
		switch r {
		case C.FIDO_ERR_USER_PRESENCE_REQUIRED:
			held = append(held, fido.Assertion{CredentialID: id})
		case C.FIDO_ERR_NO_CREDENTIALS, C.FIDO_ERR_CREDENTIAL_EXCLUDED:
		default:
			return nil, failure(r, "cannot ask for a credential")
		}
	}
	if len(held) == 0 {
		return nil, failure(C.FIDO_ERR_NO_CREDENTIALS, "")
	}
	return held, nil
}

// roomForList is what an allow or exclude list may take in bytes: the smallest message that a key
// must accept is 1024 bytes (CTAP 2.1 §6.4, maxMsgSize), and the rest of the request needs its share.
const roomForList = 600

// shorten makes a list of credentials short enough for the key (CTAP 2.1 §6.4,
// maxCredentialCountInList and maxCredentialIdLength). A list that is too long is asked for in parts,
// without a touch, and becomes the credentials that the key holds, or none.
func (d *device) shorten(rpID string, ids [][]byte) ([][]byte, error) {
	if len(ids) < 2 || !d.isFIDO2() {
		return ids, nil
	}
	info, err := d.info()
	if err != nil {
		return nil, err
	}
	if info.MaxCredIDLen > 0 {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id []byte) bool { return len(id) > info.MaxCredIDLen })
	}
	parts := split(ids, info.MaxCredCount)
	if len(parts) < 2 {
		return ids, nil
	}
	for _, part := range parts {
		held, err := d.assert(fido.AssertArgs{RPID: rpID, ClientDataHash: make([]byte, sha256.Size), Allow: part, Silent: true})
		if err == nil && len(held) > 0 {
			return [][]byte{held[0].CredentialID}, nil
		}
		if op := asFailure(err); op != nil && op.Code != C.FIDO_ERR_NO_CREDENTIALS {
			return nil, err
		}
	}
	return nil, nil
}

// split divides a list into parts of at most most entries (0: any number) and roomForList bytes.
func split(ids [][]byte, most int) [][][]byte {
	var parts [][][]byte
	room, count := 0, 0
	for _, id := range ids {
		const wrapping = 32 // "id", "type", "public-key" and the CBOR around them
		size := len(id) + wrapping
		if len(parts) == 0 || size > room || most > 0 && count >= most {
			parts = append(parts, nil)
			room, count = roomForList, 0
		}
		last := len(parts) - 1
		parts[last] = append(parts[last], id)
		room, count = room-size, count+1
	}
	return parts
}

// validIDs reports whether these can be credentials.
func validIDs(ids [][]byte) bool {
	return len(ids) <= 1024 && !slices.ContainsFunc(ids, func(id []byte) bool { return len(id) == 0 || len(id) > 1023 })
}
