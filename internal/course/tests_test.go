package course

import "testing"

func TestClaimIsTheNameInWords(t *testing.T) {
	for name, want := range map[string]string{
		"TestLogoutDeletesTheCookie": "Logout deletes the cookie",
		"TestOddTextIsNoError":       "Odd text is no error",
		"TestTypedHTMLStaysText":     "Typed HTML stays text",
		"TestLongHeaderIs431":        "Long header is 431",
		"TestCookieHoldsIDsOnly":     "Cookie holds IDs only",
		"TestStoresIDs":              "Stores IDs",
		"TestUserIsKnown":            "User is known",
		"TestLogoutTakesAPost":       "Logout takes a post",
	} {
		if got := (&Test{Name: name}).Claim(); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
