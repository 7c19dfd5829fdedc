package virtual

// infoAnswer is what getInfo says (CTAP 2.1 §6.4).
type infoAnswer struct {
	Versions     []string        `cbor:"1,keyasint"`
	Extensions   []string        `cbor:"2,keyasint,omitempty"`
	AAGUID       []byte          `cbor:"3,keyasint"`
	Options      map[string]bool `cbor:"4,keyasint"`
	MaxMessage   uint            `cbor:"5,keyasint"`
	PINProtocols []uint          `cbor:"6,keyasint"`
	MaxListed    uint            `cbor:"7,keyasint"`
	MaxIDLength  uint            `cbor:"8,keyasint"`
	Transports   []string        `cbor:"9,keyasint"`
	Algorithms   []algorithm     `cbor:"10,keyasint"`
	MinPINLength uint            `cbor:"13,keyasint"`
	Firmware     uint            `cbor:"14,keyasint"`
	Remaining    uint            `cbor:"20,keyasint"`
}

// algorithm is a PublicKeyCredentialParameters.
type algorithm struct {
	Alg  int    `cbor:"alg"`
	Type string `cbor:"type"`
}

const publicKey = "public-key"

func (a *authenticator) info() *infoAnswer {
	algs := make([]algorithm, len(a.opts.Algorithms))
	for i, alg := range a.opts.Algorithms {
		algs[i] = algorithm{Alg: alg, Type: publicKey}
	}
	var extensions []string
	if !a.opts.Quirks.NoHMACSecret {
		extensions = []string{hmacSecret}
	}
	protocols := []uint{2, 1}
	return &infoAnswer{
		Versions:   []string{"FIDO_2_0", "FIDO_2_1"},
		Extensions: extensions,
		AAGUID:     a.opts.AAGUID[:],
		Options: map[string]bool{
			"rk":               true,
			"up":               true,
			"plat":             false,
			"clientPin":        a.state.PIN != nil,
			"pinUvAuthToken":   true,
			"alwaysUv":         a.alwaysUV(),
			"makeCredUvNotRqd": a.makeWithoutUV(),
		},
		MaxMessage:   maxMessage,
		PINProtocols: protocols[2-len(a.pin.protocols):],
		MaxListed:    uint(a.opts.MaxListed),
		MaxIDLength:  credentialIDLen,
		Transports:   []string{"usb"},
		Algorithms:   algs,
		MinPINLength: uint(a.opts.MinPINLength),
		Firmware:     firmwareMajor<<8 | firmwareMinor,
		Remaining:    uint(maxDiscoverable - a.state.discoverable()),
	}
}

func (a *authenticator) alwaysUV() bool {
	return a.opts.AlwaysUV || a.opts.Quirks.AlwaysUVWithPIN && a.state.PIN != nil
}

// makeWithoutUV is the option makeCredUvNotRqd, which alwaysUv excludes.
func (a *authenticator) makeWithoutUV() bool { return a.opts.MakeCredUVNotRequired && !a.alwaysUV() }
