namespace fastgan::FASTGAN_LEVEL {}
