package enctype

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex decodes hexadecimal; blanks are ignored.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantHex(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%s = %x, want %s", what, got, want)
	}
}

// RFC 3961 appendix A.1
func TestNfold(t *testing.T) {
	for _, c := range []struct {
		in   string
		bits int
		want string
	}{
		{"012345", 64, "be072631276b1955"},
		{"password", 56, "78a07b6caf85fa"},
		{"Rough Consensus, and Running Code", 64, "bb6ed30870b7f0e0"},
		{"password", 168, "59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e"},
		{"MASSACHVSETTS INSTITVTE OF TECHNOLOGY", 192, "db3b0d8f0b061e603282b308a50841229ad798fab9540c1b"},
		{"Q", 168, "518a54a215a8452a518a54a215a8452a518a54a215"},
		{"ba", 168, "fb25d531ae8974499f52fd92ea9857c4ba24cf297e"},
		{"kerberos", 64, "6b65726265726f73"},
		{"kerberos", 128, "6b65726265726f737b9b5b2b93132b93"},
		{"kerberos", 168, "8372c236344e5f1550cd0747e15d62ca7a5a3bcea4"},
		{"kerberos", 256, "6b65726265726f737b9b5b2b93132b935c9bdcdad95c9899c4cae4dee6d6cae4"},
	} {
		wantHex(t, c.in, nfold([]byte(c.in), c.bits/8), c.want)
	}
}

// RFC 3961 appendix A.3
func TestDeriveDES3(t *testing.T) {
	for _, c := range []struct{ key, constant, dr, dk string }{
		{"dce06b1f64c857a11c3db57c51899b2cc1791008ce973b92", "0000000155",
			"935079d14490a75c3093c4a6e8c3b049c71e6ee705", "925179d04591a79b5d3192c4a7e9c289b049c71f6ee604cd"},
		{"5e13d31c70ef765746578531cb51c15bf11ca82c97cee9f2", "00000001aa",
			"9f58e5a047d894101c469845d67ae3c5249ed812f2", "9e58e5a146d9942a101c469845d67a20e3c4259ed913f207"},
	} {
		key, constant := unhex(t, c.key), unhex(t, c.constant)
		wantHex(t, "DR", deriveRandom(newDES3(key), constant, 21), c.dr)
		wantHex(t, "DK", DES3.profile().derive(key, constant, 24), c.dk)
	}
}

// The keys derived for usage 2: RFC 8009 appendix A, RFC 6803 section 10.
func TestDerive(t *testing.T) {
	for _, c := range []struct {
		id             ID
		key            string
		kc, ke, ki     string
		macLen, keyLen int
	}{
		{AES128SHA2, "3705d96080c17728a0e800eab6e0d23c",
			"b31a018a48f54776f403e9a396325dc3", "9b197dd1e8c5609d6e67c3e37c62c72e", "9fda0e56ab2d85e1569a688696c26a6c", 16, 16},
		{AES256SHA2, "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52",
			"ef5718be86cc84963d8bbb5031e9f5c4ba41f28faf69e73d",
			"56ab22bee63d82d7bc5227f6773f8ea7a5eb1c825160c38312980c442e5c7e49",
			"69b16514e3cd8e56b82010d5c73012b622c4d00ffc23ed1f", 24, 32},
		{Camellia128, "57d0297298ffd9d35de5a47fb4bde24b",
			"d155775a209d05f02b38d42a389e5a56", "64df83f85a532f17577d8c37035796ab", "3e4fbdf30fb8259c425cb6c96f1f4635", 16, 16},
		{Camellia256, "b9d6828b2056b7be656d88a123b1fac68214ac2b727ecf5f69afe0c4df2a6d2c",
			"e467f9a9552bc7d3155a6220af9c19220eeed4ff78b0d1e6a1544991461a9e50",
			"412aefc362a7285fc3966c6a5181e7605ae675235b6d549fbfc9ab6630a4c604",
			"fa624fa0e523993fa388aefdc67e67ebcd8c08e8a0246b1d73b0d1dd9fc582b0", 32, 32},
	} {
		p, key := c.id.profile(), unhex(t, c.key)
		wantHex(t, c.id.String()+" Kc", p.derive(key, usageConstant(2, purposeChecksum), c.macLen), c.kc)
		wantHex(t, c.id.String()+" Ke", p.derive(key, usageConstant(2, purposeEncrypt), c.keyLen), c.ke)
		wantHex(t, c.id.String()+" Ki", p.derive(key, usageConstant(2, purposeIntegrity), c.macLen), c.ki)
		if p.macKeyLen != c.macLen || p.keyLen != c.keyLen {
			t.Errorf("%v: key lengths %d and %d, want %d and %d", c.id, p.keyLen, p.macKeyLen, c.keyLen, c.macLen)
		}
	}
}

// RFC 3961 appendix A.4, RFC 3962 appendix B, RFC 6803 section 10, RFC 8009
// appendix A. Some counts are lower than StringToKey would take.
func TestStringToKeyRFC(t *testing.T) {
	long := strings.Repeat("X", 65)
	salt8009 := string(unhex(t, "10df9dd783e5bc8acea1730e74355f61")) + "ATHENA.MIT.EDUraeburn"
	for _, c := range []struct {
		id             ID
		password, salt string
		iterations     int
		want           string
	}{
		{DES3, "password", "ATHENA.MIT.EDUraeburn", 0, "850bb51358548cd05e86768c313e3bfef7511937dcf72c3e"},
		{DES3, "potatoe", "WHITEHOUSE.GOVdanny", 0, "dfcd233dd0a43204ea6dc437fb15e061b02979c1f74f377a"},
		{DES3, "ß", "ATHENA.MIT.EDUJurišić", 0, "16d5a40e1ce3bacb61b9dce00470324c831973a7b952feb0"},
		{AES128SHA1, "password", "ATHENA.MIT.EDUraeburn", 1, "42263c6e89f4fc28b8df68ee09799f15"},
		{AES256SHA1, "password", "ATHENA.MIT.EDUraeburn", 1, "fe697b52bc0d3ce14432ba036a92e65bbb52280990a2fa27883998d72af30161"},
		{AES128SHA1, "password", "ATHENA.MIT.EDUraeburn", 1200, "4c01cd46d632d01e6dbe230a01ed642a"},
		{AES256SHA1, "password", "\x12\x34\x56\x78\x78\x56\x34\x12", 5, "97a4e786be20d81a382d5ebc96d5909cabcdadc87ca48f574504159f16c36e31"},
		{AES256SHA1, long, "pass phrase exceeds block size", 1200, "d78c5c9cb872a8c9dad4697f0bb5b2d21496c82beb2caeda2112fceea057401b"},
		{AES128SHA1, "\U0001d11e", "EXAMPLE.COMpianist", 50, "f149c1f2e154a73452d43e7fe62a56e5"},
		{Camellia128, "password", "ATHENA.MIT.EDUraeburn", 1, "57d0297298ffd9d35de5a47fb4bde24b"},
		{Camellia256, "password", "ATHENA.MIT.EDUraeburn", 1200, "77f421a6f25e138395e837e5d85d385b4c1bfd772e112cd9208ce72a530b15e6"},
		{Camellia256, long, "pass phrase exceeds block size", 1200, "614d5dfc0ba6d390b412b89ae4d5b088b612b316510994679ddb4383c7126ddf"},
		{AES128SHA2, "password", salt8009, 32768, "089bca48b105ea6ea77ca5d2f39dc5e7"},
		{AES256SHA2, "password", salt8009, 32768, "45bd806dbf6a833a9cffc1c94589a222367a79bc21c413718906e9f578a78467"},
	} {
		got, err := c.id.profile().stringToKey(c.password, c.salt, c.iterations)
		if err != nil {
			t.Errorf("%v: %v", c.id, err)
			continue
		}
		wantHex(t, c.id.String()+" key of "+c.password, got, c.want)
	}
}

// RFC 3962 appendix B: ciphertext stealing with a zero IV, and the next IV.
func TestCTS(t *testing.T) {
	const text = "I would like the General Gau's Chicken, please, and wonton soup."
	key := newCBCKey(newAES([]byte("chicken teriyaki")))
	for _, c := range []struct {
		n          int
		want, next string
	}{
		{17, "c6353568f2bf8cb4d8a580362da7ff7f97", "c6353568f2bf8cb4d8a580362da7ff7f"},
		{31, "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5", "fc00783e0efdb2c1d445d4c8eff7ed22"},
		{32, "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584", "39312523a78662d5be7fcbcc98ebf5a8"},
		{47, "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5", "b3fffd940c16a18c1b5549d2f838029e"},
		{48, "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd839312523a78662d5be7fcbcc98ebf5a8", "9dad8bbb96c4cdc03bc103e1a194bbd8"},
		{64, "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a8" +
			"4807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8", "4807efe836ee89a526730dbc2f7bc840"},
	} {
		buf := []byte(text[:c.n])
		key.encryptCTS(State{}, buf)
		wantHex(t, "ciphertext", buf, c.want)
		u, chain := usageKeys{p: AES128SHA1.profile()}, chainState{}
		u.advance(&chain, buf)
		wantHex(t, "next IV", chain.iv.iv[:], c.next)
		key.decryptCTS(State{}, buf)
		if string(buf) != text[:c.n] {
			t.Errorf("decrypted %d bytes = %q", c.n, buf)
		}
	}
}

// RFC 8009 appendix A and RFC 6803 section 10: ciphertexts with a known key.
func TestDecryptRFC(t *testing.T) {
	const key128 = "3705d96080c17728a0e800eab6e0d23c"
	const key256 = "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52"
	for _, c := range []struct {
		id          ID
		key         string
		usage       uint32
		plain, want string
	}{
		{AES128SHA2, key128, 2, "", "ef85fb890bb8472f4dab20394dca781dad877eda39d50c870c0d5a0a8e48c718"},
		{AES128SHA2, key128, 2, "000102030405", "84d7f30754ed987bab0bf3506beb09cfb55402cef7e6877ce99e247e52d16ed4421dfdf8976c"},
		{AES128SHA2, key128, 2, "000102030405060708090a0b0c0d0e0f",
			"3517d640f50ddc8ad3628722b3569d2ae07493fa8263254080ea65c1008e8fc295fb4852e7d83e1e7c48c37eebe6b0d3"},
		{AES128SHA2, key128, 2, "000102030405060708090a0b0c0d0e0f1011121314",
			"720f73b18d9859cd6ccb4346115cd336c70f58edc0c4437c5573544c31c813bce1e6d072c186b39a413c2f92ca9b8334a287ffcbfc"},
		{AES256SHA2, key256, 2, "", "41f53fa5bfe7026d91faf9be959195a058707273a96a40f0a01960621ac612748b9bbfbe7eb4ce3c"},
		{AES256SHA2, key256, 2, "000102030405060708090a0b0c0d0e0f1011121314",
			"40013e2df58e8751957d2878bcd2d6fe101ccfd556cb1eae79db3c3ee86429f2b2a602ac86fef6ecb647d6295fae077a1feb517508d2c16b4192e01f62"},
		{Camellia128, "1dc46a8d763f4f93742bcba3387576c3", 0, "", "c466f1871069921edb7c6fde244a52db0ba10edc197bdb8006658ca3ccce6eb8"},
		{Camellia128, "7824f8c16f83ff354c6bf7515b973f43", 4, hex.EncodeToString([]byte("30 bytes bytes bytes bytes byt")),
			"a26a3905a4ffd5816b7b1e27380d08090c8ec1f304496e1abdcd2bdcd1dffc660989e117a713ddbb57a4146c1587cba4356665591d2240282f5842b105a5"},
		{Camellia256, "32164c5b434d1d1538e4cfd9be8040fe8c4ac7acc4b93d3314d2133668147a05", 2, hex.EncodeToString([]byte("9 bytesss")),
			"9c6de75f812de7ed0d28b2963557a115640998275b0af5152709913ff52a2a9c8e63b872f92e64c839"},
	} {
		got, err := mustKey(t, c.id, unhex(t, c.key)).Decrypt(nil, unhex(t, c.want), c.usage)
		if err != nil {
			t.Errorf("%v: %v", c.id, err)
		}
		wantHex(t, c.id.String(), got, c.plain)
	}
}

// RFC 8009 appendix A and RFC 6803 section 10.
func TestChecksumRFC(t *testing.T) {
	data := unhex(t, "000102030405060708090a0b0c0d0e0f1011121314")
	k := mustKey(t, AES128SHA2, unhex(t, "3705d96080c17728a0e800eab6e0d23c"))
	wantHex(t, "checksum 19", k.Checksum(nil, data, 2), "d78367186643d67b411cba9139fc1dee")
	wantHex(t, "PRF", k.PRF([]byte("test")), "9d188616f63852fe86915bb840b4a886ff3e6bb0f819b49b893393d393854295")

	k = mustKey(t, AES256SHA2, unhex(t, "6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52"))
	wantHex(t, "checksum 20", k.Checksum(nil, data, 2), "45ee791567eefca37f4ac1e0222de80d43c3bfa06699672a")
	wantHex(t, "PRF", k.PRF([]byte("test")), "9801f69a368c2bf675e59521e177d9a07f67efe1cfde8d3c8d6f6a0256e3b17d"+
		"b3c1b62ad1b8553360d17367eb1514d2")

	k = mustKey(t, Camellia128, unhex(t, "1dc46a8d763f4f93742bcba3387576c3"))
	wantHex(t, "checksum 17", k.Checksum(nil, []byte("abcdefghijk"), 7), "1178e6c5c47a8c1ae0c4b9c7d4eb7b6b")
	k = mustKey(t, Camellia256, unhex(t, "32164c5b434d1d1538e4cfd9be8040fe8c4ac7acc4b93d3314d2133668147a05"))
	wantHex(t, "checksum 18", k.Checksum(nil, []byte(strings.Repeat("!@#$%^&*()", 3)), 10), "3fa0b42355e52b189187294aa252ab64")
}

// RFC 3713 appendix A
func TestCamelliaRFC(t *testing.T) {
	const plain = "0123456789abcdeffedcba9876543210"
	for _, c := range []struct{ key, want string }{
		{plain, "67673138549669730857065648eabe43"},
		{plain + "00112233445566778899aabbccddeeff", "9acc237dff16d76c20ef7c919e3a7509"},
	} {
		b, block := newCamellia(unhex(t, c.key)), unhex(t, plain)
		b.Encrypt(block, block)
		wantHex(t, "ciphertext", block, c.want)
		b.Decrypt(block, block)
		wantHex(t, "plaintext", block, plain)
	}
}

// RFC 1320 appendix A.5
func TestMD4(t *testing.T) {
	for in, want := range map[string]string{
		"":    "31d6cfe0d16ae931b73c59d7e0c089c0",
		"abc": "a448017aaf21d8525fc10ae87aa6729d",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": "043f8582f241db351ce627e153e7f0e4",
		strings.Repeat("1234567890", 8):                                  "e33b4ddc9c38f2199c3e7b164fcc0536",
	} {
		sum := md4([]byte(in))
		wantHex(t, "md4 of "+in, sum[:], want)
	}
}
