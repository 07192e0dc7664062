#!/bin/bash
# Writes a disk image of 8 MiB that a PC boots: boot-image.sh IMAGE TEXT. Its boot sector says BOOTED on the first
# serial port, reads sector 1 through the BIOS (interrupt 13h, extended read) and prints the TEXT it finds there.
set -euo pipefail
image=${1:?usage: boot-image.sh IMAGE TEXT} text=${2:?usage: boot-image.sh IMAGE TEXT}

# Offset in the sector, bytes there, meaning. The sector runs at address 7c00; the BIOS passes its drive number in dl.
boot_sector() {
    cat <<'END'
00: fa              ; cli
01: 31 c0           ; xor ax, ax
03: 8e d8           ; mov ds, ax
05: 8e d0           ; mov ss, ax
07: bc 00 7c        ; mov sp, 7c00
0a: fb              ; sti
0b: be 80 7c        ; mov si, BOOTED
0e: e8 2f 00        ; call print
11: be 70 7c        ; mov si, disk address packet
14: b4 42           ; mov ah, 42          extended read, dl is the drive
16: cd 13           ; int 13
18: 72 08           ; jc 22
1a: be 00 80        ; mov si, 8000        sector 1
1d: e8 20 00        ; call print
20: eb 06           ; jmp 28
22: be a0 7c        ; mov si, READ-FAILED
25: e8 18 00        ; call print
28: f4              ; hlt
29: eb fd           ; jmp 28
                    ; print: the string at si up to its zero byte, keeps dx
40: 52              ; push dx
41: fc              ; cld
42: ac              ; lodsb
43: 84 c0           ; test al, al
45: 74 12           ; jz 59
47: 88 c4           ; mov ah, al
49: ba fd 03        ; mov dx, 3fd         serial port: line status
4c: ec              ; in al, dx
4d: a8 20           ; test al, 20         room for a byte?
4f: 74 fb           ; jz 4c
51: 88 e0           ; mov al, ah
53: ba f8 03        ; mov dx, 3f8         serial port: data
56: ee              ; out dx, al
57: eb e9           ; jmp 42
59: 5a              ; pop dx
5a: c3              ; ret
                    ; disk address packet: 16 bytes long, 1 sector, to 0000:8000, from sector 1
70: 10 00 01 00 00 80 00 00 01 00 00 00 00 00 00 00
80: 0d 0a 42 4f 4f 54 45 44 0d 0a 00             ; BOOTED
a0: 0d 0a 52 45 41 44 2d 46 41 49 4c 45 44 0d 0a ; READ-FAILED
1fe: 55 aa          ; boot signature
END
}

# put OFFSET TEXT: writes the text, in which \x41 is a byte, into the image
put() {
    printf '%b' "$2" | dd of="$image" bs=1 seek="$1" conv=notrunc status=none
}

truncate -s 0 "$image"
truncate -s 8M "$image"
boot_sector | while IFS=':;' read -r offset bytes _; do
    [[ $offset =~ ^[0-9a-f]+$ ]] || continue
    read -ra bytes <<<"$bytes"
    put "$((16#$offset))" "$(printf '\\x%s' "${bytes[@]}")"
done
put 512 "$text\r\n"
