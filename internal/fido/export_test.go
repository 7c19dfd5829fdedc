package fido

// VerifySignature is the check of a signature alone, for vectors that are no assertions.
func VerifySignature(cose, data, sig []byte) error {
	k, err := parsePublicKey(cose)
	if err != nil {
		return err
	}
	return k.verify(data, sig)
}

// IsFIDO is the parser of report descriptors.
var IsFIDO = isFIDO

// ParseUevent is the parser of uevent files.
var ParseUevent = parseUevent

// ParseHIDID is the parser of a HID device's bus, vendor and product.
var ParseHIDID = parseHIDID
