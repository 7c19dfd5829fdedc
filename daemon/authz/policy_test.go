package authz_test

import (
	"encoding/xml"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fobproject/fob/daemon/authz"
	contract "github.com/fobproject/fob/packaging/polkit"
)

// node is an element of an XML document.
type node struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Text    string     `xml:",chardata"`
	Nodes   []node     `xml:",any"`
}

func (n node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// all are the children of one kind.
func (n node) all(kind string) (found []node) {
	for _, c := range n.Nodes {
		if c.XMLName.Local == kind {
			found = append(found, c)
		}
	}
	return found
}

// kinds are the children's kinds, each followed by a space.
func (n node) kinds() string {
	var b strings.Builder
	for _, c := range n.Nodes {
		b.WriteString(c.XMLName.Local + " ")
	}
	return b.String()
}

func policy(t *testing.T) (root node) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(contract.XML))
	if err := d.Decode(&root); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return root
}

func TestPolicy(t *testing.T) {
	root := policy(t)
	actions := root.all("action")

	t.Run("has the actions that the code has", func(t *testing.T) {
		var written []authz.Action
		for _, a := range actions {
			written = append(written, authz.Action(a.attr("id")))
		}
		if !slices.Equal(written, authz.Actions()) {
			t.Errorf("the file has %q, the code %q", written, authz.Actions())
		}
	})
	t.Run("is valid against polkit's document type", func(t *testing.T) {
		if !strings.HasPrefix(contract.XML, "<?xml") || !strings.Contains(contract.XML, `"-//freedesktop//DTD PolicyKit Policy Configuration 1.0//EN"`) {
			t.Error("it does not name the type")
		}
		shapes := map[string]string{
			"policyconfig": `^(vendor )?(vendor_url )?(icon_name )?(action )+$`,
			"action":       `^(vendor )?(vendor_url )?(description )+(message )+(icon_name )?defaults (annotate )*$`,
			"defaults":     `^(allow_any |allow_inactive |allow_active )*$`,
		}
		var check func(n node)
		check = func(n node) {
			shape, ok := shapes[n.XMLName.Local]
			if !ok {
				shape = `^$`
			}
			if !regexp.MustCompile(shape).MatchString(n.kinds()) {
				t.Errorf("%s holds %q", n.XMLName.Local, n.kinds())
			}
			for _, c := range n.Nodes {
				check(c)
			}
		}
		if root.XMLName.Local != "policyconfig" {
			t.Errorf("it is a %s", root.XMLName.Local)
		}
		check(root)
	})
	t.Run("has the name under which it is installed", func(t *testing.T) {
		b, err := os.ReadFile("../../packaging/polkit/" + contract.FileName)
		if err != nil || string(b) != contract.XML {
			t.Errorf("%s is not what is embedded: %v", contract.FileName, err)
		}
	})
	for id, who := range map[authz.Action]string{authz.ActionFirstMethod: "auth_self"} {
		t.Run("lets nobody do "+string(id)+" without a password at the desk, asked for each time", func(t *testing.T) {
			at := slices.IndexFunc(actions, func(a node) bool { return a.attr("id") == string(id) })
			if at < 0 {
				t.Fatal("there is no such action")
			}
			defaults := actions[at].all("defaults")[0]
			got := map[string]string{}
			for _, d := range defaults.Nodes {
				got[d.XMLName.Local] = strings.TrimSpace(d.Text)
			}
			// What is left out is "no" to polkit; it is written, so that nobody has to know.
			if len(defaults.Nodes) != 3 || got["allow_any"] != "no" || got["allow_inactive"] != "no" || got["allow_active"] != who {
				t.Errorf("its defaults are %v", got)
			}
		})
	}
	t.Run("keeps no yes, gives none away, and implies none", func(t *testing.T) {
		for _, a := range actions {
			for _, d := range a.all("defaults")[0].Nodes {
				if v := strings.TrimSpace(d.Text); strings.HasSuffix(v, "_keep") || v == "yes" {
					t.Errorf("%s has %s %s", a.attr("id"), d.XMLName.Local, v)
				}
			}
			for _, n := range a.all("annotate") {
				if n.attr("key") != "org.freedesktop.policykit.owner" {
					t.Errorf("%s is annotated with %s", a.attr("id"), n.attr("key"))
				}
			}
		}
	})
	// Polkit takes questions about others, and with details, from root and an action's owner alone.
	t.Run("lets the system instance's user ask", func(t *testing.T) {
		for _, a := range actions {
			n := a.all("annotate")
			if len(n) != 1 || n[0].attr("key") != "org.freedesktop.policykit.owner" || n[0].Text != "unix-user:fob" {
				t.Errorf("%s has no owner", a.attr("id"))
			}
		}
	})
	t.Run("says what it does in English and Danish", func(t *testing.T) {
		if len(root.all("vendor")) != 1 {
			t.Error("it names no vendor")
		}
		for _, a := range actions {
			for _, kind := range []string{"description", "message"} {
				var languages []string
				for _, n := range a.all(kind) {
					languages = append(languages, n.attr("lang"))
					if text := n.Text; text == "" || text != strings.TrimSpace(text) || strings.Contains(text, "$(") {
						t.Errorf("%s says %q", a.attr("id"), text)
					}
				}
				if !slices.Equal(languages, []string{"", "da"}) {
					t.Errorf("%s has its %s in %q", a.attr("id"), kind, languages)
				}
			}
		}
	})
}
